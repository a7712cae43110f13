"""Replies of every kind: which are stored, which are asked again, and JSON formats."""

import json

import pytest

from chat_world import SCHEMA, add, ask, question, read_sum, world
from editloop.chat.call_errors import CallError
from editloop.chat.fake.faults import Fault
from editloop.chat.messages import Failed, Message, Question, ReplyError
from editloop.chat.replies import check_usable, parse_reply
from editloop.chat.request_styles import RequestStyles
from editloop.chat.requests import Call, follow_up
from editloop.chat.settings import ChatSettings
from editloop.errors import FailureClass


def test_an_unusable_reply_is_asked_again_with_the_reason(tmp_path) -> None:
    came: list[tuple[str, ...]] = []

    def look(asked) -> str:
        came.append(asked.texts)
        return add(asked)

    with world(tmp_path, Fault.MALFORMED, answers=look) as here:
        chat = here.chat()
        assert ask(chat, [question(1)], read_sum) == [2]
        assert (chat.counts.re_asks, chat.counts.calls, chat.ledger.count()) == (1, 2, 2)
    (first, second) = came
    assert second[:1] == first
    assert second[1] == '{"sum'
    assert "it has no sum" in second[2]


def test_re_asks_are_bounded_and_the_last_reply_can_be_found(tmp_path) -> None:
    with world(tmp_path, schedule=lambda _: Fault.DECLINED) as here:
        chat = here.chat(re_asks=2)
        (failed,) = ask(chat, [question(1)], read_sum)
        assert here.server.seen.requests == 3
        assert isinstance(failed, Failed)
        assert (failed.code, failed.attempts) == ("unparseable", 3)
        assert failed.failure is FailureClass.PERMANENT
        reply = chat.ledger.find(failed.reply_key or "")
        assert reply is not None
        assert reply.text.startswith("I'm sorry")


def test_re_asks_are_replayed_from_the_ledger(tmp_path) -> None:
    with world(tmp_path, Fault.MALFORMED, Fault.EMPTY) as here:
        assert ask(here.chat(), [question(1)], read_sum) == [2]
        again = here.chat()
        assert ask(again, [question(1)], read_sum) == [2]
        assert (again.counts.found, again.counts.attempts, again.counts.re_asks) == (3, 0, 2)


def test_a_better_reader_reads_old_replies(tmp_path) -> None:
    def strict(_: str) -> int:
        raise ReplyError("never good enough", code="refused")

    with world(tmp_path) as here:
        (failed,) = ask(here.chat(re_asks=0), [question(1)], strict)
        assert isinstance(failed, Failed)
        assert (failed.code, failed.failure) == ("refused", FailureClass.POLICY)
        assert ask(here.chat(), [question(1)], read_sum) == [2]
        assert here.server.seen.requests == 1


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (Fault.EMPTY, ""),
        (Fault.SURROGATE, '\ud83d {"sum": 2}'),
        (Fault.HUGE, "blah " * 200_000 + '{"sum": 2}'),
        (Fault.NAN, '{"sum": NaN}'),
        (Fault.OUT_OF_RANGE, '{"sum": 777}'),
    ],
)
def test_odd_replies_reach_the_reader_and_the_ledger_as_they_came(tmp_path, fault, text) -> None:
    with world(tmp_path, fault) as here:
        chat = here.chat()
        assert ask(chat, [question(1)], str) == [text]
        assert ask(chat, [question(1)], str) == [text]
        assert here.server.seen.requests == 1


@pytest.mark.parametrize("fault", [Fault.SURROGATE, Fault.HUGE, Fault.EMPTY])
def test_odd_replies_can_be_asked_again(tmp_path, fault) -> None:
    def exact(text: str) -> int:
        if not text.startswith("{"):
            raise ReplyError("it is not an object")
        return read_sum(text)

    with world(tmp_path, fault) as here:
        chat = here.chat()
        assert ask(chat, [question(1)], exact) == [2]
        assert chat.counts.re_asks == 1


def test_what_is_shown_again_of_a_reply_is_short_and_whole() -> None:
    asked = follow_up(question(1), "x" * 1999 + "\ud83d" + "y" * 1000, "it is long")
    shown = asked.messages[1].parts[0]
    assert shown == "x" * 1999 + "\ufffd"
    assert asked.messages[1].role == "assistant"


FORMATS = [
    (("json_schema", "json_object"), ["json_schema", "json_schema"]),
    (("json_object",), ["json_schema", "json_object", "json_object"]),
    ((), ["json_schema", "json_object", "text", "text"]),
]


@pytest.mark.parametrize(("formats", "asked"), FORMATS)
def test_the_best_format_that_a_server_takes_is_found_and_remembered(
    tmp_path, formats, asked
) -> None:
    came: list[str] = []

    def look(request) -> None:
        came.append(request.format)

    with world(tmp_path, schedule=look, formats=frozenset(formats)) as here:
        chat = here.chat(concurrency=1)
        assert ask(chat, [question(n, schema=SCHEMA) for n in range(2)], read_sum) == [1, 2]
        assert chat.counts.attempts == len(asked)
    assert came == asked


def test_the_schema_is_sent_as_it_is(tmp_path) -> None:
    came = []

    def look(asked) -> str:
        came.append(asked.schema)
        return add(asked)

    with world(tmp_path, answers=look) as here:
        ask(here.chat(), [question(1, schema=SCHEMA), question(2)], read_sum)
    assert sorted(came, key=str) == sorted([SCHEMA, None], key=str)


def test_a_format_that_was_fixed_is_not_left(tmp_path) -> None:
    with world(tmp_path, formats=frozenset()) as here:
        (failed,) = ask(
            here.chat(reply_format="json_schema"), [question(1, schema=SCHEMA)], read_sum
        )
        assert isinstance(failed, Failed)
        assert (failed.code, here.server.seen.requests) == ("bad-request", 1)


def test_a_refusal_for_another_reason_does_not_change_the_format(tmp_path) -> None:
    def refuse_one(asked) -> str:
        if "Add 5 and 1." in asked.texts:
            raise ValueError("too long")
        return add(asked)

    came: list[str] = []

    def look(request) -> None:
        came.append(request.format)

    with world(tmp_path, answers=refuse_one, schedule=look) as here:
        chat = here.chat(concurrency=1)
        answers = ask(chat, [question(n, schema=SCHEMA) for n in (1, 5, 2)], read_sum)
    assert [isinstance(answer, Failed) for answer in answers] == [False, True, False]
    assert came == ["json_schema"] * 3


def test_servers_that_want_max_completion_tokens_get_them() -> None:
    settings = ChatSettings(target="m", base_url="http://h/v1")
    formats = RequestStyles(settings)
    style = formats.style(None)
    told = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
    simpler = formats.simpler(None, style, [told])
    assert simpler is not None
    formats.accepted(None, simpler)
    body = json.loads(Call(settings, question(1)).body(formats.style(SCHEMA)))
    assert body["max_completion_tokens"] == 1024
    assert "max_tokens" not in body
    assert formats.simpler(None, simpler, [told]) is None


def body(**changes) -> bytes:
    message = {"role": "assistant", "content": "hello"}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return json.dumps({"model": "m", "choices": [choice], **changes}).encode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<html>",
        b"[]",
        b"null",
        b"{}",
        b'{"choices": []}',
        b'{"choices": ["text"]}',
        b'{"choices": [{"message": null}]}',
        b'{"error": {"message": "upstream failed"}}',
        b"\xff\xfe\x00",
        b'{"choices":' + b"[" * 200_000,
        body()[:-10],
    ],
)
def test_a_response_without_a_reply_is_tried_again(data) -> None:
    with pytest.raises(CallError) as raised:
        parse_reply(data)
    assert (raised.value.code, raised.value.retry) == ("broken-reply", True)


def test_content_in_parts_is_joined() -> None:
    parts = [{"type": "text", "text": "hel"}, {"type": "text", "text": "lo"}, {"type": "x"}]
    choice = {"message": {"content": parts}, "finish_reason": None}
    assert parse_reply(body(choices=[choice])).text == "hello"


@pytest.mark.parametrize(
    ("message", "named"),
    [
        ({"content": None, "reasoning_content": "say 4"}, "`reasoning_content`"),
        ({"content": " \n", "reasoning": "say 4"}, "`reasoning`"),
        ({"content": None, "tool_calls": [{"id": "x"}]}, "`tool_calls`"),
        ({"function_call": {"name": "x"}}, "`function_call`"),
        ({"content": [{"type": "thinking", "thinking": []}]}, "parts that are not texts"),
        ({"content": [{"type": "reasoning", "text": "say 4"}]}, "parts that are not texts"),
    ],
)
def test_a_reply_without_content_is_unusable_and_the_cause_is_named(message, named) -> None:
    choice = {"message": message, "finish_reason": "length"}
    reply = parse_reply(body(choices=[choice], usage={"completion_tokens": 9}))
    assert reply.output_tokens == 9
    with pytest.raises(CallError) as raised:
        check_usable(reply)
    assert raised.value.code == "empty"
    assert named in raised.value.message
    assert "finish_reason: length" in raised.value.message


def test_thoughts_beside_the_content_are_not_part_of_it() -> None:
    parts = [{"type": "thinking", "text": "say 4"}, {"type": "text", "text": "hello"}]
    message = {"content": parts, "reasoning_content": "say 4"}
    reply = parse_reply(body(choices=[{"message": message, "finish_reason": "stop"}]))
    check_usable(reply)
    assert reply.text == "hello"


@pytest.mark.parametrize("count", [-1, 2**60, True, "7", None, 1.5])
def test_an_odd_count_of_tokens_is_no_count(count) -> None:
    reply = parse_reply(body(usage={"prompt_tokens": count, "completion_tokens": 3}))
    assert (reply.input_tokens, reply.output_tokens) == (None, 3)


def test_a_whole_reply_is_usable() -> None:
    check_usable(parse_reply(body()))


def test_the_key_depends_on_all_that_the_reply_may_depend_on() -> None:
    settings = ChatSettings(target="m", base_url="http://h/v1")
    plain = question(1, schema=SCHEMA)
    calls = [
        Call(settings, plain),
        Call(settings, plain, re_ask=1),
        Call(settings, question(2, schema=SCHEMA)),
        Call(settings, question(1)),
        Call(settings, question(1, schema=SCHEMA, repeat=1)),
        Call(settings, Question("q", (Message("system", plain.messages[0].parts),), SCHEMA)),
        *(
            Call(settings.model_copy(update=change), plain)
            for change in (
                {"target": "n"},
                {"revision": "r"},
                {"temperature": 0.5},
                {"max_tokens": 9},
                {"seed": 1},
                {"seed": None},
                {"reply_format": "text"},
            )
        ),
    ]
    assert len({call.key for call in calls}) == len(calls)


def test_the_id_of_a_question_is_not_part_of_what_is_asked() -> None:
    settings = ChatSettings(target="m", base_url="http://h/v1")
    messages = question(1).messages
    assert (
        Call(settings, Question("a", messages)).key == Call(settings, Question("b", messages)).key
    )
