"""Concurrent equal calls of several chats or processes: one is made, the others wait for it."""

import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from chat_world import FlyingTimer, ask, question, read_sum, world
from editloop.chat.client import Chat
from editloop.chat.fake.faults import Fault
from editloop.chat.fake.request import FakeRequest
from editloop.chat.fake.server import FakeServer
from editloop.chat.ledger import Ledger
from editloop.chat.messages import Failed
from editloop.chat.requests import Call
from editloop.chat.settings import ChatSettings

pytestmark = pytest.mark.slow

ASKER = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from chat_world import ask, question
from editloop.chat.client import Chat
from editloop.chat.settings import ChatSettings
from editloop.chat.throttle import Timer

class Telling(Timer):
    async def sleep(self, seconds):
        print("waits", flush=True)
        await super().sleep(seconds)

settings = ChatSettings(target="m", base_url={url!r}, timeout=60.0)
with Chat(settings, Path({ledger!r}), timer=Telling()) as chat:
    print(ask(chat, [question(n) for n in range({count})], str), flush=True)
"""


@contextmanager
def asker(server: FakeServer, ledger: Path, count: int = 1) -> Iterator[subprocess.Popen[str]]:
    """A process that asks; it prints `waits` while it waits for another, and its answer."""
    tests = str(Path(__file__).parents[1])
    code = ASKER.format(tests=tests, url=server.base_url, ledger=str(ledger), count=count)
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def last_said(process: subprocess.Popen[str]) -> str:
    while (line := said(process)) == "waits":
        pass
    return line


class Held:
    """Answers by number; the first is sent only after it is released."""

    def __init__(self) -> None:
        self.came, self.let_go = threading.Event(), threading.Event()

    def __call__(self, asked: FakeRequest) -> str:
        if asked.number == 0:
            self.came.set()
            self.let_go.wait(60)
        return f"reply {asked.number}"


@pytest.fixture
def held() -> Iterator[Held]:
    made = Held()
    yield made
    made.let_go.set()


def test_a_process_waits_for_the_reply_that_another_is_getting(tmp_path: Path, held: Held) -> None:
    with world(tmp_path, answers=held) as here, asker(here.server, here.ledger) as first:
        assert held.came.wait(60)
        with asker(here.server, here.ledger) as second:
            assert said(second) == "waits"
            held.let_go.set()
            assert [last_said(first), last_said(second)] == ["['reply 0']"] * 2
        assert here.server.seen.requests == 1


def test_a_killed_process_leaves_its_call_to_the_one_that_waits(tmp_path: Path, held: Held) -> None:
    with world(tmp_path, answers=held) as here, asker(here.server, here.ledger) as first:
        assert held.came.wait(60)
        with asker(here.server, here.ledger) as second:
            assert said(second) == "waits"
            first.send_signal(signal.SIGKILL)
            assert last_said(second) == "['reply 1']"
        assert here.server.seen.requests == 2


def test_processes_that_ask_much_the_same_share_the_calls(tmp_path: Path) -> None:
    with (
        world(tmp_path, latency=0.02) as here,
        asker(here.server, here.ledger, 100) as first,
        asker(here.server, here.ledger, 100) as second,
    ):
        assert last_said(first) == last_said(second)
        assert Counter(here.server.seen.bodies.values()) == {1: 100}


def test_two_chats_of_one_process_pay_once(tmp_path: Path, held: Held) -> None:
    with world(tmp_path, answers=held) as here:
        found: list[object] = []
        settings = ChatSettings(target="m", base_url=here.server.base_url)

        def ask_once() -> None:
            with Chat(settings, here.ledger) as chat:
                found.append((ask(chat, [question(1)], str), chat.counts.found, chat.counts.calls))

        threads = [threading.Thread(target=ask_once) for _ in range(2)]
        for each in threads:
            each.start()
        assert held.came.wait(60)
        held.let_go.set()
        for each in threads:
            each.join()
        assert here.server.seen.requests == 1
    assert sorted(found, key=str) == [(["reply 0"], 0, 1), (["reply 0"], 1, 0)]


def test_a_call_that_fails_is_free_for_the_next(tmp_path: Path) -> None:
    with world(tmp_path, Fault.ERROR) as here:
        (failed,) = ask(here.chat(attempts=1), [question(1)], read_sum)
        assert isinstance(failed, Failed)
        assert ask(here.chat(attempts=1), [question(1)], read_sum) == [2]


def test_a_lock_that_outlasts_all_attempts_holds_nobody_up_for_ever(tmp_path: Path) -> None:
    with world(tmp_path) as here:
        chat = here.chat(timeout=5.0, attempts=2)
        stopped = Ledger(here.ledger)
        with stopped.locks.hold(Call(chat.settings, question(1)).key) as ours:
            assert ours
            assert ask(chat, [question(1), question(2), question(1)], read_sum) == [2, 3, 2]
        stopped.close()
        assert sum(here.timer.slept) == pytest.approx(2 * 10.0, abs=0.4)
        assert here.server.seen.requests == 2


def test_nobody_waits_where_nobody_asks(tmp_path: Path) -> None:
    with world(tmp_path) as here:
        ask(here.chat(), [question(n) for n in range(50)], read_sum)
        assert isinstance(here.timer, FlyingTimer)
        assert here.timer.slept == []


def test_equal_questions_of_a_process_wait_without_looking_again_and_again(tmp_path: Path) -> None:
    with world(tmp_path, latency=0.05) as here:
        assert ask(here.chat(), [question(1)] * 5, read_sum) == [2] * 5
        assert (here.server.seen.requests, here.timer.slept) == (1, [])


def test_after_a_failed_call_one_of_those_that_wait_makes_it(tmp_path: Path) -> None:
    with world(tmp_path, Fault.ERROR, latency=0.05) as here:
        failed, *others = ask(here.chat(attempts=1), [question(1)] * 4, read_sum)
        assert isinstance(failed, Failed)
        assert (others, here.server.seen.requests) == ([2] * 3, 2)
