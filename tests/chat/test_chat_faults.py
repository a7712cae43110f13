"""Every way a request can fail: exact attempts, requested delays, nothing bad stored."""

import json
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from chat_world import add, ask, question, read_sum, world
from editloop.chat.fake.faults import MIXED, Fault, at_random
from editloop.chat.fake.server import FakeServer, FakeSettings
from editloop.chat.ledger import Ledger
from editloop.chat.messages import Failed
from editloop.chat.settings import ChatSettings
from editloop.errors import FailureClass, UnavailableError

TRANSPORT = [
    (Fault.RATE_LIMITED, "rate-limited"),
    (Fault.ERROR, "server-error"),
    (Fault.UNAVAILABLE, "server-error"),
    (Fault.OVERLOADED, "server-error"),
    (Fault.TIME_OUT, "timeout"),
    (Fault.RESET, "connection"),
    (Fault.HALF, "connection"),
    (Fault.NOT_JSON, "broken-reply"),
]


def patience(fault: Fault) -> float:
    """Return the time-out in seconds: long, unless the test is about time-outs."""
    return 0.3 if fault is Fault.TIME_OUT else 10.0


@pytest.mark.slow
@pytest.mark.parametrize("fault", [fault for fault, _ in TRANSPORT])
def test_a_fault_that_passes_costs_one_attempt(tmp_path, fault) -> None:
    with world(tmp_path, fault, fault) as here:
        chat = here.chat(timeout=patience(fault))
        assert ask(chat, [question(1)], read_sum) == [2]
        assert (chat.counts.attempts, chat.counts.calls, here.server.seen.requests) == (3, 1, 3)
        assert chat.ledger.count() == 1


@pytest.mark.slow
@pytest.mark.parametrize(("fault", "code"), TRANSPORT)
def test_a_fault_that_stays_fails_after_the_attempts_allowed(tmp_path, fault, code) -> None:
    with world(tmp_path, schedule=lambda _: fault) as here:
        chat = here.chat(timeout=patience(fault), attempts=3)
        (failed,) = ask(chat, [question(1)], read_sum)
        assert isinstance(failed, Failed)
        assert (failed.code, failed.failure) == (code, FailureClass.TRANSIENT)
        assert (failed.attempts, chat.counts.attempts, here.server.seen.requests) == (3, 3, 3)
        assert (chat.ledger.count(), failed.reply_key, chat.counts.failed) == (0, None, 1)


@pytest.mark.parametrize(
    ("fault", "code", "failure", "times"),
    [
        (Fault.FILTERED, "filtered", FailureClass.POLICY, 1),
        (Fault.REFUSAL, "filtered", FailureClass.POLICY, 3),
        (Fault.THOUGHTS, "empty", FailureClass.PERMANENT, 3),
    ],
)
def test_a_reply_refused_or_without_content_is_tried_as_often_as_re_asks_say(
    tmp_path, fault, code, failure, times
) -> None:
    with world(tmp_path, schedule=lambda _: fault) as here:
        chat = here.chat(re_asks=2, attempts=9)
        (failed,) = ask(chat, [question(1)], read_sum)
        assert isinstance(failed, Failed)
        assert (failed.code, failed.failure, failed.attempts) == (code, failure, times)
        assert (here.server.seen.requests, chat.ledger.count()) == (times, 0)


@pytest.mark.parametrize("fault", [Fault.REFUSAL, Fault.THOUGHTS])
def test_a_refusal_that_passes_leaves_only_the_good_reply(tmp_path, fault) -> None:
    with world(tmp_path, fault) as here:
        chat = here.chat()
        assert ask(chat, [question(1)], read_sum) == [2]
        assert (chat.ledger.count(), chat.counts.calls, chat.counts.attempts) == (1, 1, 2)
        assert ask(here.chat(), [question(1)], read_sum) == [2]
        assert here.server.seen.requests == 2


def test_a_reply_cut_off_is_kept_and_asked_again_with_the_reason(tmp_path) -> None:
    with world(tmp_path, schedule=lambda _: Fault.TRUNCATED) as here:
        chat = here.chat(re_asks=2, attempts=9)
        (failed,) = ask(chat, [question(1)], read_sum)
        assert isinstance(failed, Failed)
        assert (failed.code, failed.failure) == ("truncated", FailureClass.PERMANENT)
        assert "cut off after" in failed.message
        assert (failed.attempts, chat.counts.re_asks, chat.ledger.count()) == (3, 2, 3)


def test_a_whole_answer_in_a_reply_cut_off_counts(tmp_path) -> None:
    def run_on(asked) -> str:
        return add(asked) * 2  # the fault leaves the first half

    with world(tmp_path, Fault.TRUNCATED, answers=run_on) as here:
        assert ask(here.chat(), [question(1)], read_sum) == [2]
        assert here.server.seen.requests == 1


def test_retry_after_is_waited_for_to_the_second(tmp_path) -> None:
    with world(tmp_path, Fault.RATE_LIMITED_UNTIL, retry_after="7") as here:
        assert ask(here.chat(), [question(1)], read_sum) == [2]
        assert sum(here.timer.slept) == pytest.approx(7)


def test_retry_after_may_be_a_date(tmp_path) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=50), usegmt=True)
    with world(tmp_path, Fault.RATE_LIMITED_UNTIL, retry_after=date) as here:
        assert ask(here.chat(), [question(1)], read_sum) == [2]
        assert 40 < sum(here.timer.slept) <= 50


@pytest.mark.parametrize(
    "odd", ["soon", "-3", "nan", "inf", "", "Sun, 06 Nov 99999999999999999999 08:49:37 GMT"]
)
def test_an_odd_retry_after_is_as_none(tmp_path, odd) -> None:
    with world(tmp_path, Fault.RATE_LIMITED_UNTIL, retry_after=odd) as here:
        assert ask(here.chat(), [question(1)], read_sum) == [2]
        assert 0.25 <= sum(here.timer.slept) <= 0.5


def test_retry_after_holds_back_every_other_call(tmp_path) -> None:
    with world(tmp_path, Fault.RATE_LIMITED_UNTIL, retry_after="9") as here:
        chat = here.chat(concurrency=1)
        assert ask(chat, [question(1), question(2)], read_sum) == [2, 3]
        chat = here.chat(concurrency=2)
    assert here.timer.now() == pytest.approx(9)


def test_a_server_that_asks_for_hours_is_not_waited_for(tmp_path) -> None:
    with world(tmp_path, Fault.RATE_LIMITED_UNTIL, retry_after="7200") as here:
        (failed,) = ask(here.chat(), [question(1)], read_sum)
        assert isinstance(failed, Failed)
        assert (failed.code, failed.failure) == ("rate-limited", FailureClass.TRANSIENT)
        assert (failed.attempts, here.timer.slept) == (1, [])
        assert "7200" in failed.message


def test_waits_double_with_jitter_and_are_the_same_in_each_run(tmp_path) -> None:
    waits = []
    for folder in ("a", "b"):
        with world(tmp_path / folder, schedule=lambda _: Fault.ERROR) as here:
            ask(here.chat(attempts=9), [question(1)], read_sum)
            waits.append(here.timer.slept)
    assert waits[0] == waits[1]
    wholes = [0.5, 1, 2, 4, 8, 16, 30, 30]
    assert all(w / 2 <= slept <= w for w, slept in zip(wholes, waits[0], strict=True))


def test_no_connection_in_time_is_a_time_out(tmp_path) -> None:
    with socket.socket() as full, world(tmp_path) as here:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        waiting = [socket.socket() for _ in range(2)]
        for each in waiting:  # they fill the queue of connections, which are never accepted
            each.setblocking(False)
            each.connect_ex(("127.0.0.1", port))
        chat = here.chat(base_url=f"http://127.0.0.1:{port}/v1", timeout=0.4, attempts=2)
        (failed,) = ask(chat, [question(1)], read_sum)
        for each in waiting:
            each.close()
    assert isinstance(failed, Failed)
    assert (failed.code, failed.attempts) == ("timeout", 2)
    assert "no connection" in failed.message


def test_the_time_allowed_is_for_the_whole_reply(tmp_path) -> None:
    with world(tmp_path, latency=9.0) as here:
        (failed,) = ask(here.chat(timeout=0.5, attempts=1), [question(1)], read_sum)
    assert isinstance(failed, Failed)
    assert failed.message == "no whole reply within the time allowed (0.5 s)"


def test_a_request_that_is_refused_is_not_tried_again(tmp_path) -> None:
    def refuse(_: object) -> str:
        raise ValueError("context too long")

    with world(tmp_path, answers=refuse) as here:
        (failed,) = ask(here.chat(), [question(1)], read_sum)
    assert isinstance(failed, Failed)
    assert (failed.code, failed.failure, failed.attempts) == (
        "bad-request",
        FailureClass.PERMANENT,
        1,
    )
    assert "context too long" in failed.message


def test_a_servers_words_are_passed_on_as_one_plain_line(tmp_path) -> None:
    def refuse(_: object) -> str:
        raise ValueError("first\nsecond \x1b[31mred\x07")

    with world(tmp_path, answers=refuse) as here:
        (failed,) = ask(here.chat(), [question(1)], read_sum)
    assert isinstance(failed, Failed)
    assert "first second  [31mred " in failed.message
    assert failed.message.isprintable()


def test_a_refused_key_stops_all_and_names_the_variable(tmp_path) -> None:
    with world(tmp_path, key="right") as here, pytest.raises(UnavailableError) as raised:
        ask(here.chat(), [question(n) for n in range(100)], read_sum)
    assert raised.value.command == "export OPENAI_API_KEY=KEY"


def test_a_key_that_is_forbidden_everything_stops_all(tmp_path) -> None:
    with (
        world(tmp_path, schedule=lambda _: Fault.FORBIDDEN) as here,
        pytest.raises(UnavailableError, match="rejects calls with this key"),
    ):
        ask(here.chat(), [question(n) for n in range(100)], read_sum)


def test_a_question_that_is_forbidden_after_others_were_answered_fails_alone(tmp_path) -> None:
    with world(tmp_path, None, Fault.FORBIDDEN, None, Fault.FORBIDDEN) as here:
        questions = [question(n) for n in range(3)]
        first, failed, third = ask(here.chat(concurrency=1), questions, read_sum)
        assert (first, third) == (1, 3)
        assert isinstance(failed, Failed)
        assert (failed.code, failed.failure) == ("forbidden", FailureClass.PERMANENT)
        (_, again, _) = ask(here.chat(concurrency=1), questions, read_sum)
        assert isinstance(again, Failed)


@pytest.mark.slow
def test_mixed_faults_change_no_answer_and_lose_none(tmp_path) -> None:
    questions = [question(n) for n in range(300)]
    kinds = (*MIXED, Fault.HALF, Fault.NOT_JSON, Fault.UNAVAILABLE)
    faults = at_random(0.2, 7, kinds, in_a_row=1)
    with world(tmp_path, schedule=faults) as here:
        chat = here.chat(timeout=3.0, concurrency=12)
        assert ask(chat, questions, read_sum) == [n + 1 for n in range(300)]
        seen, counts = here.server.seen, chat.counts
        assert sum(seen.faults.values()) > 40
        assert counts.attempts == seen.requests
        assert counts.re_asks == seen.faults[Fault.MALFORMED]
        assert chat.ledger.count() == counts.calls == 300 + counts.re_asks
        again = here.chat()
        assert ask(again, questions, read_sum) == [n + 1 for n in range(300)]
        assert again.counts.attempts == 0


CHILD = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from chat_world import ask, question, read_sum
from editloop.chat.client import Chat
from editloop.chat.settings import ChatSettings
settings = ChatSettings(target="adder", base_url={url!r}, concurrency=4)
with Chat(settings, Path({ledger!r})) as chat:
    ask(chat, [question(n) for n in range(80)], read_sum)
"""


@pytest.mark.slow
def test_kill_repeats_only_calls_in_flight(tmp_path) -> None:
    ledger = tmp_path / "ledger.db"
    slow = FakeSettings(latency=0.03)
    with FakeServer(add, settings=slow) as server:
        code = CHILD.format(
            tests=str(Path(__file__).parents[1]), url=server.base_url, ledger=str(ledger)
        )
        with subprocess.Popen([sys.executable, "-c", code]) as child:
            while server.seen.requests < 24:
                time.sleep(0.005)
            child.kill()
        killed = Ledger(ledger).count()
        assert 16 <= killed < 80
        subprocess.run([sys.executable, "-c", code], check=True)
        assert Ledger(ledger).count() == 80
        assert server.seen.requests <= 80 + 4
        assert all(count == 1 for count in sorted(server.seen.bodies.values())[:-4])


def test_the_ledger_holds_no_reply_of_a_bad_transport(tmp_path) -> None:
    every = [fault for fault, _ in TRANSPORT] + [Fault.REFUSAL, Fault.THOUGHTS]
    with world(tmp_path, *every) as here:
        chat = here.chat(timeout=0.2, attempts=20, re_asks=20)
        assert ask(chat, [question(1)], read_sum) == [2]
        chat.ledger.export(tmp_path / "all.parquet")
    import pyarrow.parquet as pq

    texts = pq.read_table(tmp_path / "all.parquet")["text"].to_pylist()
    assert [json.loads(text) for text in texts] == [{"sum": 2}]


def test_settings_that_cannot_change_a_reply_change_no_key(tmp_path) -> None:
    with world(tmp_path) as here:
        ask(here.chat(), [question(1)], read_sum)
        other = here.chat(
            concurrency=2, timeout=9.0, attempts=2, re_asks=0, key_env="OTHER",
            base_url=here.server.base_url + "/", budget=1.0, input_price=1.0,
        )  # fmt: skip
        assert ask(other, [question(1)], read_sum) == [2]
        assert here.server.seen.requests == 1
    assert ChatSettings(target="m", base_url="http://h/v1/").base_url == "http://h/v1"
