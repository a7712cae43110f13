"""A run's counts survive its processes, and include every request that reached the server."""

from pathlib import Path

import pytest

from chat_world import ask, question, read_sum, world
from editloop.chat.fake.faults import Fault
from editloop.chat.usage import ChatUsage, usage_of_run

PRICES = {"input_price": 1.0, "output_price": 1.0}


def test_chats_of_one_run_are_counted_together(tmp_path: Path) -> None:
    with world(tmp_path, Fault.ERROR, Fault.MALFORMED, Fault.TRUNCATED) as here:
        first, second = here.chat(run="a", **PRICES), here.chat(run="a", **PRICES)
        ask(first, [question(n) for n in range(3)], read_sum)
        ask(second, [question(n) for n in range(5)], read_sum)
        seen = here.server.seen.requests
    counts = usage_of_run(here.ledger, "a")
    assert (counts.attempts, counts.calls) == (seen, 7)
    both = ChatUsage()
    for each in (first.counts, second.counts):
        both.add(attempts=each.attempts, calls=each.calls, cost=each.cost)
    assert (both.attempts, both.calls) == (counts.attempts, counts.calls)
    assert counts.cost == pytest.approx(both.cost)


def test_another_run_has_counts_of_its_own(tmp_path: Path) -> None:
    with world(tmp_path) as here:
        ask(here.chat(run="a"), [question(1)], read_sum)
        ask(here.chat(run="b"), [question(1), question(2)], read_sum)
    assert usage_of_run(here.ledger, "a").calls == 1
    assert usage_of_run(here.ledger, "b").calls == 1


def test_what_the_ledger_answers_is_no_attempt(tmp_path: Path) -> None:
    with world(tmp_path) as here:
        ask(here.chat(run="a"), [question(1)], read_sum)
        ask(here.chat(run="a"), [question(1)], read_sum)
    assert usage_of_run(here.ledger, "a").attempts == 1


def test_a_run_that_asked_nothing_counts_nothing(tmp_path: Path) -> None:
    assert usage_of_run(tmp_path / "none.db", "a") == ChatUsage()
    assert not (tmp_path / "none.db").exists()
    with world(tmp_path) as here:
        ask(here.chat(), [question(1)], read_sum)
    assert usage_of_run(here.ledger, "a") == ChatUsage()
