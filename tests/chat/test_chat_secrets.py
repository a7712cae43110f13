"""A server's key appears nowhere: not in files, errors, logs, tracebacks or reprs."""

import logging
import pickle
import traceback

import pytest

from chat_world import add, ask, question, read_sum, world
from editloop.chat.fake.faults import MIXED
from editloop.chat.messages import Failed
from editloop.chat.secrets import Secret, read_key
from editloop.chat.settings import ChatSettings
from editloop.errors import EditLoopError, RecipeError, UnavailableError
from editloop.settings import validate

KEY = "sk-SENTINEL-9f8e7d6c"


@pytest.fixture
def key(monkeypatch, caplog) -> str:
    """Set the key's environment variable, and every logger to its lowest level."""
    monkeypatch.setenv("EDITLOOP_TEST_KEY", KEY)
    for name in ("openai", "httpx", "httpx2", "httpcore", "httpcore2", "asyncio"):
        caplog.set_level(logging.DEBUG, logger=name)
    caplog.set_level(logging.DEBUG)
    return "EDITLOOP_TEST_KEY"


@pytest.mark.parametrize("name", [KEY, "sk-", "", "A B", "A=B"])
def test_a_key_in_the_place_of_its_variable_is_refused_unseen(name) -> None:
    with pytest.raises(EditLoopError) as raised:
        validate(
            ChatSettings, {"target": "m", "base_url": "http://h/v1", "key_env": name}, where="test"
        )
    assert KEY not in "".join(traceback.format_exception(raised.value))
    assert "OPENAI_API_KEY" in str(raised.value)


@pytest.mark.parametrize("name", ["api_key", "key", "headers"])
def test_a_key_under_an_unknown_name_is_refused_unseen(name) -> None:
    with pytest.raises(EditLoopError) as raised:
        validate(ChatSettings, {"target": "m", "base_url": "http://h/v1", name: KEY}, where="test")
    assert KEY not in "".join(traceback.format_exception(raised.value))


def files_with_key(folder) -> list[str]:
    found = [path for path in folder.rglob("*") if path.is_file()]
    assert found
    return [path.name for path in found if KEY.encode() in path.read_bytes()]


def test_the_key_reaches_the_server(tmp_path, key) -> None:
    with world(tmp_path, key=KEY) as here:
        assert ask(here.chat(key_env=key), [question(1)], read_sum) == [2]


def test_the_variable_is_the_settings_own(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with world(tmp_path, key=KEY) as here, pytest.raises(UnavailableError):
        ask(here.chat(key_env="NOT_SET"), [question(1)], read_sum)


def test_ledger_export_logs_and_reprs_are_free_of_it(tmp_path, key, caplog) -> None:
    with world(tmp_path, *MIXED, key=KEY) as here:
        chat = here.chat(key_env=key, timeout=0.3, budget=9.0, input_price=1.0)
        assert ask(chat, [question(n) for n in range(8)], read_sum) == list(range(1, 9))
        chat.ledger.export(tmp_path / "ledger.parquet")
        shown = [
            repr(chat),
            repr(vars(chat)),
            repr(vars(chat._server)),
            repr(chat._server._open),
            repr(chat.settings),
        ]
    assert files_with_key(tmp_path) == []
    assert KEY not in "".join(shown)
    assert caplog.text
    assert KEY not in caplog.text


def test_a_reply_that_echoes_it_is_stored_without(tmp_path, key) -> None:
    with world(tmp_path, answers=lambda asked: add(asked) + f" by {KEY}", key=KEY) as here:
        chat = here.chat(key_env=key)
        assert ask(chat, [question(1)], str) == ['{"sum": 2} by [key]']
        chat.ledger.close()
    assert files_with_key(tmp_path) == []


@pytest.mark.parametrize("placeholder", ["2", "x", "sum", "none"])
def test_a_placeholder_in_a_keys_place_leaves_replies_as_they_are(
    tmp_path, monkeypatch, placeholder
) -> None:
    monkeypatch.setenv("EDITLOOP_TEST_KEY", placeholder)
    with world(tmp_path, key=placeholder) as here:
        chat = here.chat(key_env="EDITLOOP_TEST_KEY")
        assert ask(chat, [question(1)], str) == ['{"sum": 2}']


def test_errors_and_tracebacks_are_free_of_it(tmp_path, key) -> None:
    # The fake server echoes a rejected key.
    with world(tmp_path, key="another") as here:
        with pytest.raises(UnavailableError) as raised:
            ask(here.chat(key_env=key), [question(1)], read_sum)
        text = "".join(traceback.format_exception(raised.value))
        assert "[key]" in str(raised.value)
        assert KEY not in text + repr(raised.value) + str(pickle.dumps(raised.value))


def test_failures_are_free_of_it(tmp_path, key) -> None:
    def refuse(_: object) -> str:
        raise ValueError(f"no such account: {KEY}")

    with world(tmp_path, answers=refuse) as here:
        (failed,) = ask(here.chat(key_env=key), [question(1)], read_sum)
    assert isinstance(failed, Failed)
    assert "no such account: [key]" in failed.message


@pytest.mark.parametrize("value", [f"{KEY}\nX-Other: 1", f"{KEY}é", f"{KEY}\x00"])
def test_a_key_that_no_header_carries_is_refused_unseen(monkeypatch, value) -> None:
    monkeypatch.setattr("os.environ", {"EDITLOOP_TEST_KEY": value})
    with pytest.raises(RecipeError) as raised:
        read_key("EDITLOOP_TEST_KEY")
    assert KEY not in "".join(traceback.format_exception(raised.value))


def test_spaces_around_a_key_are_dropped(monkeypatch) -> None:
    monkeypatch.setenv("EDITLOOP_TEST_KEY", f" {KEY}\n")
    assert read_key("EDITLOOP_TEST_KEY").reveal() == KEY


def test_a_secret_is_shown_and_pickled_by_nobody() -> None:
    secret = Secret(KEY)
    assert KEY not in f"{secret} {secret!r} {[secret]}"
    with pytest.raises(TypeError):
        pickle.dumps(secret)


@pytest.mark.parametrize(
    "url", [f"http://me:{KEY}@host/v1", f"http://host/v1?key={KEY}", f"http://host/v1#{KEY}"]
)
def test_a_url_with_a_secret_is_refused_unseen(url) -> None:
    with pytest.raises(EditLoopError) as raised:
        validate(ChatSettings, {"target": "m", "base_url": url}, where="test")
    assert KEY not in str(raised.value)
    assert "key_env" in str(raised.value)
