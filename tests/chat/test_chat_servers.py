"""Servers as they are: what they refuse is left out, how long they ask to wait, why they fail."""

import json
import re
import time
from pathlib import Path

import pytest
import yaml

from chat_world import SCHEMA, FlyingTimer, ask, question, read_sum
from document_blocks import blocks
from editloop.chat.client import Chat
from editloop.chat.messages import Failed
from editloop.chat.requests import Call
from editloop.chat.settings import ChatSettings, StoredChatSettings
from editloop.chat.waits import seconds_to_wait
from editloop.editors.images_api import ImagesEditorSettings
from editloop.errors import FailureClass, RecipeError, UnavailableError
from editloop.judges.vlm import VlmSettings
from editloop.registry import parse_spec
from raw_server import RawServer, raw_server, refusal, reply

FIXTURES = Path(__file__).parents[1] / "fixtures"


def chat_at(server: RawServer, folder: Path, **settings) -> Chat:
    given = {"target": "m", "base_url": server.base_url, "timeout": 5.0, **settings}
    return Chat(ChatSettings(**given), folder / "ledger.db", timer=FlyingTimer())


def questions(count: int, **fields) -> list:
    return [question(n, **fields) for n in range(count)]


# ---- adapting ----


@pytest.mark.slow
@pytest.mark.parametrize(
    ("field", "answer"),
    [
        ("temperature", refusal(400, "Unsupported value: 'temperature' does not support 0.0")),
        ("temperature", refusal(400, "Unsupported parameter", param="temperature")),
        ("seed", (422, {}, {"detail": [{"loc": ["body", "seed"], "msg": "Extra inputs"}]})),
        ("seed", refusal(500, "seed is not implemented")),
        ("max_tokens", (400, {}, {"message": "max_tokens is not allowed"})),
        ("max_tokens", (400, {}, [{"error": {"code": 400, "message": "max_tokens: unknown"}}])),
        ("response_format", refusal(400, "response_format is not supported")),
        ("response_format", refusal(500, "failed to parse grammar")),
        ("response_format", refusal(500, "internal error")),
    ],
)
def test_what_a_server_refuses_is_left_out_once_and_said(tmp_path, caplog, field, answer) -> None:
    with raw_server(lambda body: answer if field in body else reply()) as server:
        with chat_at(server, tmp_path) as chat:
            assert ask(chat, questions(40, schema=SCHEMA), read_sum) == [2] * 40
        refused = [body for body in server.bodies if field in body]
    unnamed = answer[2] == refusal(500, "internal error")[2]
    assert len(refused) <= (96 if unnamed else 4)
    assert len(caplog.messages) <= 2
    named = "json" if field == "response_format" else f"`{field}`"
    assert named in caplog.text


def test_a_field_that_was_answered_before_is_not_left_out(tmp_path) -> None:
    def answer(body):
        long = "Add 5 and 1." in json.dumps(body)
        return refusal(400, "max_tokens is too large for this prompt") if long else reply()

    with raw_server(answer) as server:
        with chat_at(server, tmp_path, concurrency=1) as chat:
            answers = ask(chat, questions(7), read_sum)
        assert [isinstance(each, Failed) for each in answers] == [False] * 5 + [True, False]
        assert all("max_tokens" in body for body in server.bodies)


def test_a_budget_keeps_the_limit_of_tokens(tmp_path) -> None:
    with raw_server(lambda _: refusal(400, "max_tokens is not allowed")) as server:
        with chat_at(server, tmp_path, budget=1.0, output_price=1.0) as chat:
            (failed,) = ask(chat, questions(1), read_sum)
        assert isinstance(failed, Failed)
        assert len(server.bodies) == 1


# ---- fields and headers ----


def test_null_in_a_spec_sends_no_temperature_and_no_seed(tmp_path) -> None:
    spec = parse_spec("vlm:m?temperature=null&seed=null&base_url=http://h/v1", "judge")
    assert spec.settings == {
        "target": "m",
        "temperature": None,
        "seed": None,
        "base_url": "http://h/v1",
    }
    with raw_server(lambda _: reply()) as server:
        with chat_at(server, tmp_path, temperature=None, seed=None) as chat:
            ask(chat, [question(1, temperature=0.5)], read_sum)
        assert not {"temperature", "seed"} & server.bodies[0].keys()


def test_further_fields_headers_and_the_query_are_sent_and_identify_the_answer(
    tmp_path, monkeypatch
) -> None:
    monkeypatch.setenv("AZURE_KEY", "hidden-word-1")
    body = {"chat_template_kwargs": {"enable_thinking": False}}
    with raw_server(lambda _: reply()) as server:
        url = f"{server.base_url}/?api-version=2024-10-21"
        with chat_at(
            server,
            tmp_path,
            base_url=url,
            body=json.dumps(body),
            headers='{"api-key": "$AZURE_KEY", "x-provider": "a"}',
        ) as chat:
            ask(chat, questions(1), read_sum)
        assert server.bodies[0]["chat_template_kwargs"] == {"enable_thinking": False}
        assert server.headers[0]["api-key"] == "hidden-word-1"
        assert "authorization" not in server.headers[0]
        assert server.paths == ["/v1/chat/completions?api-version=2024-10-21"]
    assert "hidden-word" not in json.dumps(chat.settings.model_dump(mode="json"))
    plain = ChatSettings(target="m", base_url="http://h/v1")
    changed = [
        {"body": body},
        {"headers": {"x-provider": "a"}},
        {"base_url": "http://h/v1?api-version=1"},
    ]
    keys = {Call(plain.model_copy(update=each), question(1)).key for each in [{}, *changed]}
    assert len(keys) == 4
    identities = [plain.model_copy(update=each).identity() for each in [{}, *changed]]
    assert len({json.dumps(each) for each in identities}) == 4
    keyed = plain.model_copy(update={"headers": {"api-key": "$AZURE_KEY"}})
    assert Call(keyed, question(1)).key == Call(plain, question(1)).key


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"headers": {"api-key": ["hidden-word-1"]}}, "not a header"),
        ({"headers": {"api-key": "hidden-word-1"}}, "a header contains a key"),
        ({"headers": {"Authorization": "Bearer hidden-word-1"}}, "a header contains a key"),
        ({"body": {"temperature": 1}}, "cannot be given in `body`"),
        ({"body": {"messages": []}}, "cannot be given in `body`"),
        ({"body": {"stream": True}}, "replies are read whole"),
        ({"body": "thinking"}, "headers and body are JSON"),
        ({"base_url": "http://h/v1?key=hidden-word-1"}, "base_url contains"),
        ({"base_url": "http://h/v1/chat/completions"}, "leave out /chat/completions"),
    ],
)
def test_what_cannot_be_sent_is_refused_without_showing_keys(settings, told) -> None:
    with pytest.raises((RecipeError, ValueError), match=re.escape(told)) as raised:
        ChatSettings(**{"target": "m", "base_url": "http://h/v1", **settings})
    assert "hidden-word" not in str(raised.value)


def test_a_header_without_its_variable_is_refused(tmp_path, monkeypatch) -> None:
    monkeypatch.delenv("AZURE_KEY", raising=False)
    with (
        raw_server(lambda _: reply()) as server,
        chat_at(server, tmp_path, headers={"api-key": "${AZURE_KEY}"}) as chat,
        pytest.raises(RecipeError, match="not set"),
    ):
        ask(chat, questions(1), read_sum)


# ---- waiting ----

RETRY_INFO = {
    "error": {
        "details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34s"}]
    }
}


def dated(value):
    """Replace `@90` by the time in 90 seconds since the epoch, `@90ms` in milliseconds."""
    now = time.time()
    text = re.sub(
        r"@(\d+)ms", lambda found: f"{(now + int(found[1])) * 1000:.0f}", json.dumps(value)
    )
    return json.loads(re.sub(r"@(\d+)", lambda found: f"{now + int(found[1]):.0f}", text))


@pytest.mark.parametrize(
    ("headers", "body", "words", "seconds"),
    [
        ({"retry-after": "7"}, {}, "", 7),
        ({"retry-after": "1m2.5s"}, {}, "", 62.5),
        ({"retry-after": "@90"}, {}, "", 90),
        ({"retry-after": "@90ms"}, {}, "", 90),
        ({"retry-after-ms": "1500"}, {}, "", 1.5),
        ({"x-ratelimit-reset": "@40"}, {}, "", 40),
        ({"x-ratelimit-reset-requests": "6m0s", "x-ratelimit-reset-tokens": "20ms"}, {}, "", 360),
        (
            {
                "x-ratelimit-reset-requests": "6m0s",
                "x-ratelimit-reset-tokens": "20ms",
                "x-ratelimit-remaining-requests": "9",
                "x-ratelimit-remaining-tokens": "0",
            },
            {},
            "",
            0.02,
        ),
        ({}, [RETRY_INFO], "", 34),
        ({}, {"error": {"retry_after": 3}}, "", 3),
        ({}, {"error": {"retryAfterMs": 2500}}, "", 2.5),
        ({}, {"error": {"metadata": {"headers": {"X-RateLimit-Reset": "@50ms"}}}}, "", 50),
        ({}, {}, "Rate limit reached. Please try again in 1m2s. See", 62),
        ({}, {}, "Please retry in 34.07s.", 34.07),
        ({}, {}, "Please retry after 13 seconds", 13),
        ({}, {}, "Try again in 250ms", 0.25),
        ({}, {}, "You exceeded your quota of 60 s", None),
        ({"retry-after": "-3"}, {}, "", None),
        ({"retry-after": "soon"}, {}, "", None),
        ({}, {"retryDelay": {"seconds": True}}, "", None),
    ],
)
def test_the_time_to_wait_is_read_in_every_form(headers, body, words, seconds) -> None:
    found = seconds_to_wait(dated(headers), dated(body), words)
    assert found == (None if seconds is None else pytest.approx(seconds, abs=1.5, rel=0))


def test_a_refusal_in_a_list_is_waited_for_and_told_in_the_servers_words(tmp_path) -> None:
    wait = {"error": {"code": 429, "message": "Quota of your plan", **RETRY_INFO["error"]}}
    answers = iter([(429, {}, [wait]), (200, {}, {"error": {**wait["error"]}})])
    with raw_server(lambda _: next(answers, reply())) as server, chat_at(server, tmp_path) as chat:
        assert ask(chat, questions(1), read_sum) == [2]
        assert sum(chat._server._timer.slept) == pytest.approx(68)
    with raw_server(lambda _: (429, {}, [wait])) as server:
        with chat_at(server, tmp_path / "b", attempts=1) as chat:
            (failed,) = ask(chat, questions(1), read_sum)
        assert isinstance(failed, Failed)
        assert failed.message == "Quota of your plan (it asks to wait 34 s)"


# ---- safety ----


@pytest.mark.slow
@pytest.mark.parametrize(
    "answer",
    [
        *(reply("", finish) for finish in ("SAFETY", "PROHIBITED_CONTENT", "content_filter")),
        reply("", "content_filter: PROHIBITED_CONTENT"),
        reply("half a", "BLOCKLIST"),
        (200, {}, {"choices": [{"finish_reason": "SAFETY", "index": 0}]}),
        (200, {}, {"choices": [{"finish_reason": "RECITATION", "message": None}]}),
        (200, {}, {"choices": [], "promptFeedback": {"blockReason": "SAFETY"}}),
        (200, {}, {"error": {"code": "content_filter", "message": "no"}}),
        refusal(400, "no", code="data_inspection_failed"),
        refusal(400, "no", innererror={"code": "ResponsibleAIPolicyViolation"}),
    ],
)
def test_what_a_filter_stops_is_refused_and_asked_once(tmp_path, answer) -> None:
    with raw_server(lambda _: answer) as server:
        with chat_at(server, tmp_path) as chat:
            answers = ask(chat, questions(30), read_sum)
        assert len(server.bodies) == 30
    assert {(each.code, each.failure) for each in answers} == {("filtered", FailureClass.POLICY)}


# ---- TLS ----


@pytest.mark.slow
def test_a_self_signed_certificate_is_named_and_its_file_helps(tmp_path) -> None:
    with raw_server(lambda _: reply(), certificate=FIXTURES / "self_signed.pem") as server:
        with chat_at(server, tmp_path) as chat, pytest.raises(UnavailableError) as raised:
            ask(chat, questions(40), read_sum)
        assert "self-signed certificate" in str(raised.value)
        assert "ca_file=FILE" in str(raised.value)
        trusted = FIXTURES / "self_signed_certificate.pem"
        with chat_at(server, tmp_path, ca_file=trusted) as chat:
            assert ask(chat, questions(1), read_sum) == [2]
        assert len(server.bodies) == 1


@pytest.mark.parametrize("name", ["absent.pem", "empty.pem"])
def test_a_file_without_certificates_is_refused(tmp_path, name) -> None:
    (tmp_path / "empty.pem").touch()
    with (
        raw_server(lambda _: reply()) as server,
        chat_at(server, tmp_path, ca_file=tmp_path / name) as chat,
        pytest.raises(RecipeError, match="ca_file has no certificates"),
    ):
        ask(chat, questions(1), read_sum)


# ---- stopping early ----

PAGE = (200, {"Content-Type": "text/html"}, b"<!DOCTYPE html><html>Chat</html>")
STREAM = (200, {"Content-Type": "text/event-stream"}, b'data: {"choices": []}\n\ndata: [DONE]\n')


@pytest.mark.slow
@pytest.mark.parametrize(
    ("answer", "cause", "bare"),
    [
        (PAGE, "/v1", True),
        (
            (200, {}, {"error": "Unexpected endpoint or method. (POST /chat/completions)"}),
            "/v1",
            True,
        ),
        (refusal(405, "Method Not Allowed"), "/v1", True),
        (PAGE, "a web page", False),
        (STREAM, '"stream": false', False),
        (refusal(400, "This model only support stream mode"), "as a stream", False),
        (
            refusal(500, "image input is not supported - you may need to provide the mmproj"),
            "mmproj",
            False,
        ),
        (
            refusal(400, "Invalid content type. image_url is only supported by certain models"),
            "vision",
            False,
        ),
        (refusal(503, "loading"), "read the log", False),
        (reply("I see two pictures."), "another model", False),
    ],
)
def test_questions_that_all_fail_alike_stop_early_with_the_likely_cause(
    tmp_path, answer, cause, bare
) -> None:
    with raw_server(lambda _: answer) as server:
        base = server.base_url.removesuffix("/v1") if bare else server.base_url
        with chat_at(server, tmp_path, base_url=base) as chat:
            with pytest.raises(UnavailableError, match="first 24 questions") as raised:
                ask(chat, questions(300), read_sum)
            assert cause in str(raised.value)
            assert chat.counts.attempts <= 6 * 24
            with pytest.raises(UnavailableError):
                ask(chat, questions(300), read_sum)
            assert chat.counts.attempts <= 6 * 24


@pytest.mark.slow
def test_a_judge_that_answers_some_questions_is_not_stopped(tmp_path) -> None:
    def answer(body):
        return reply() if "Add 3 and" in json.dumps(body) else reply("no")

    with raw_server(answer) as server, chat_at(server, tmp_path, re_asks=0) as chat:
        answers = ask(chat, questions(60), read_sum)
    assert sum(isinstance(each, Failed) for each in answers) == 59


# ---- the table ----

PAGE_OF_SERVERS = Path(__file__).parents[2] / "docs" / "servers.md"


def settings_in(text: str) -> set[str]:
    """Return the names in the first column of a table."""
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    return {name.strip(" `") for row in rows for name in row.split(",")}


def test_the_page_lists_every_setting_and_its_specs_are_right() -> None:
    text = PAGE_OF_SERVERS.read_text()
    specs, _, rest = text.partition("## Settings")
    listed, _, images = rest.partition("## Image models")
    assert settings_in(listed) == {*VlmSettings.model_fields}
    more = ImagesEditorSettings.model_fields.keys() - StoredChatSettings.model_fields.keys()
    assert settings_in(images.partition("| setting |")[2]) == more
    for line in images.splitlines():
        if "| `images:" in line:
            ImagesEditorSettings(**parse_spec(line.split("|")[2].strip(" `"), "editor").settings)
    lines = [line.split("|")[2].strip(" `") for line in specs.splitlines() if "| `vlm:" in line]
    assert len(lines) >= 12
    for line in lines:
        VlmSettings(**parse_spec(line, "judge").settings)
    VlmSettings(
        **{
            k: v
            for k, v in yaml.safe_load(blocks("yaml", PAGE_OF_SERVERS)[0]).items()
            if k != "kind"
        }
    )
