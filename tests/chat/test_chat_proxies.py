"""Proxies: never for this machine, named in every error, and without a package no bug."""

import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from chat_world import ask, question, read_sum, world
from editloop.chat.fake.server import FakeServer
from editloop.chat.messages import Failed
from editloop.chat.proxies import is_loopback, proxy_for
from editloop.errors import UnavailableError

VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "127.8.9.1", "127.1", "localhost", "LOCALHOST.", "judge.localhost", "::1"),
        *("::ffff:127.0.0.1", "0.0.0.0", "2130706433", "ip6-localhost"),
    ],
)
def test_every_name_of_this_machine_is_known(host) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["192.168.0.1", "10.0.0.1", "localhost.example.com", "::2", "128.1"]
)
def test_another_machine_is_not_this_one(host) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "ALL_PROXY", "http_proxy"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_pictures_and_key_for_this_machine_never_reach_a_proxy(
    tmp_path, monkeypatch, variable, host
) -> None:
    with FakeServer(lambda _: "{}") as proxy, world(tmp_path) as here:
        monkeypatch.setenv(variable, proxy.base_url.removesuffix("/v1"))
        chat = here.chat(base_url=here.server.base_url.replace("127.0.0.1", host))
        assert ask(chat, [question(1)], read_sum) == [2]
        assert (proxy.seen.requests, here.server.seen.requests) == (0, 1)


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:9", "gopher://127.0.0.1:9", "http://[::1"])
def test_a_proxy_that_cannot_be_used_does_not_concern_this_machine(
    tmp_path, monkeypatch, proxy
) -> None:
    monkeypatch.setitem(sys.modules, "socksio", None)
    monkeypatch.setenv("ALL_PROXY", proxy)
    with world(tmp_path) as here:
        assert ask(here.chat(), [question(1)], read_sum) == [2]


def test_the_environment_decides_for_other_machines(monkeypatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://user:p@ss/w@proxy.example:3128/")
    monkeypatch.setenv("ALL_PROXY", "other.example:1080")
    monkeypatch.setenv("NO_PROXY", "*.inside.example,plain.example")
    secure, plain = proxy_for("https://api.example/v1"), proxy_for("http://api.example/v1")
    assert secure is not None
    assert plain is not None
    assert (secure.name, plain.name) == ("http://proxy.example:3128", "http://other.example:1080")
    assert "ss/w" not in repr(secure)
    for host in ("a.inside.example", "plain.example:8443", "127.0.0.1:9"):
        assert proxy_for(f"https://{host}/v1") is None


def test_an_answer_of_the_proxy_is_told_as_such_without_its_password(tmp_path, monkeypatch) -> None:
    with FakeServer(lambda _: "{}") as proxy, world(tmp_path) as here:
        place = proxy.base_url.removesuffix("/v1")
        monkeypatch.setenv("HTTP_PROXY", place.replace("://", "://user:hidden-word@"))
        with pytest.raises(UnavailableError, match="through the proxy") as raised:
            ask(here.chat(base_url="http://judge.example/v1"), [question(1)], read_sum)
    assert place in str(raised.value)
    assert "hidden-word" not in str(raised.value)


def test_a_proxy_that_lets_nothing_pass_is_named(tmp_path, monkeypatch) -> None:
    with FakeServer(lambda _: "{}") as proxy, world(tmp_path) as here:
        place = proxy.base_url.removesuffix("/v1")
        monkeypatch.setenv("HTTPS_PROXY", place)
        with pytest.raises(UnavailableError, match="the proxy does not let calls") as raised:
            ask(here.chat(base_url="https://judge.example/v1"), [question(1)], read_sum)
    assert f"through the proxy {place}" in str(raised.value)


def test_a_proxy_that_is_down_is_named(tmp_path, monkeypatch) -> None:
    with FakeServer(lambda _: "{}") as proxy:
        place = proxy.base_url.removesuffix("/v1")
    monkeypatch.setenv("HTTP_PROXY", place)
    with world(tmp_path) as here:
        chat = here.chat(base_url="http://judge.example/v1", attempts=1)
        with pytest.raises(UnavailableError, match=f"through the proxy {place}"):
            ask(chat, [question(1)], read_sum)


def test_a_socks_proxy_without_its_package_is_an_unavailable_server(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "socksio", None)
    monkeypatch.setenv("ALL_PROXY", "socks5://user:hidden-word@proxy.example:1080")
    with world(tmp_path) as here:
        chat = here.chat(base_url="http://judge.example/v1")
        with pytest.raises(UnavailableError, match="SOCKS") as raised:
            ask(chat, [question(n) for n in range(10)], read_sum)
    assert raised.value.command == "pip install socksio"
    assert "socks5://proxy.example:1080" in str(raised.value)
    assert "hidden-word" not in str(raised.value)


class _Busy(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.send_error(503)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def test_a_failed_question_names_the_proxy(tmp_path, monkeypatch) -> None:
    with HTTPServer(("127.0.0.1", 0), _Busy) as proxy, world(tmp_path) as here:
        Thread(target=proxy.serve_forever, daemon=True).start()
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.server_port}")
        chat = here.chat(base_url="http://judge.example/v1", attempts=1)
        (failed,) = ask(chat, [question(1)], read_sum)
        proxy.shutdown()
    assert isinstance(failed, Failed)
    assert f"through the proxy http://127.0.0.1:{proxy.server_port}" in failed.message
