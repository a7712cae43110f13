"""The budget: no call can exceed it, from any process and after any failure."""

import asyncio
from pathlib import Path

import numpy as np
import pytest

from chat_world import add, ask, question, read_sum, world
from editloop.chat.budget import Budget, OverBudgetError, expected_tokens
from editloop.chat.fake.faults import Fault
from editloop.chat.messages import Failed, Message, Picture
from editloop.chat.settings import ChatSettings
from editloop.errors import FailureClass, UnavailableError

# A question of the small world takes 3 tokens in and 2 out by the fake server's count, so it costs
# 3e-6 + 2e-6 USD at these prices; before the first reply the most it may take is 12 + 8 in, 4 out.
PRICES = {"input_price": 1.0, "output_price": 1.0, "max_tokens": 4}
COST = 5e-6
MICRO = Message("user", ("Add 1 and 1.",))


def settings(budget: float | None, **changes: object) -> ChatSettings:
    given = {"target": "m", "base_url": "http://h/v1", "budget": budget, **PRICES, **changes}
    return ChatSettings(**given)


def spent(path: Path, run: str) -> float:
    budget = Budget(settings(1.0), path, run)
    try:
        return budget.spent
    finally:
        budget.close()


@pytest.mark.parametrize("concurrency", [1, 8])
def test_asking_stops_before_the_budget_is_passed(tmp_path, concurrency) -> None:
    budget = 50.5 * COST
    with world(tmp_path) as here:
        chat = here.chat(budget=budget, concurrency=concurrency, **PRICES)
        answers = ask(chat, [question(n) for n in range(100)], read_sum)
        failed = [answer for answer in answers if isinstance(answer, Failed)]
        assert chat.counts.cost <= budget
        assert 40 <= chat.counts.calls <= 50
        assert chat.counts.calls == here.server.seen.requests == 100 - len(failed)
    assert {(each.code, each.failure) for each in failed} == {
        ("over-budget", FailureClass.TRANSIENT)
    }
    assert {each.attempts for each in failed} == {0}


def test_replies_in_the_ledger_cost_nothing(tmp_path) -> None:
    with world(tmp_path) as here:
        ask(here.chat(), [question(1)], read_sum)
        chat = here.chat(budget=1e-9, input_price=1.0)
        assert ask(chat, [question(1)], read_sum) == [2]


def test_chats_of_one_run_share_a_budget_and_others_do_not(tmp_path) -> None:
    budget = 9.9 * COST
    with world(tmp_path) as here:
        first = here.chat(run="a", budget=budget, **PRICES)
        ask(first, [question(n) for n in range(20)], read_sum)
        again = here.chat(run="a", budget=budget, **PRICES)
        (failed,) = ask(again, [question(50)], read_sum)
        assert isinstance(failed, Failed)
        assert first.counts.cost + again.counts.cost <= budget
        other = here.chat(run="b", budget=budget, **PRICES)
        assert ask(other, [question(51)], read_sum) == [52]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "billed"),
    [
        (Fault.ERROR, False),
        (Fault.RATE_LIMITED, False),
        (Fault.TIME_OUT, True),
        (Fault.HALF, True),
        (Fault.NOT_JSON, True),
    ],
)
def test_what_may_have_been_billed_counts_as_spent(tmp_path, fault, billed) -> None:
    with world(tmp_path, fault) as here:
        timeout = 0.3 if fault is Fault.TIME_OUT else 10.0
        chat = here.chat(run="r", budget=1.0, timeout=timeout, **PRICES)
        assert ask(chat, [question(1)], read_sum) == [2]
    worst = (12 + 8 + 4) / 1e6
    assert spent(here.ledger, "r") == pytest.approx(COST + worst * billed)


@pytest.mark.parametrize("fault", [Fault.TRUNCATED, Fault.MALFORMED])
def test_unusable_replies_are_paid_as_the_server_counts(tmp_path, fault) -> None:
    with world(tmp_path, fault) as here:
        chat = here.chat(run="r", budget=1.0, **PRICES)
        assert ask(chat, [question(1)], read_sum) == [2]
        assert spent(here.ledger, "r") == pytest.approx(chat.counts.cost)
        assert chat.counts.cost > COST


def test_a_refused_key_costs_nothing(tmp_path) -> None:
    with world(tmp_path, key="another") as here:
        with pytest.raises(UnavailableError):
            ask(here.chat(run="r", budget=1.0, **PRICES), [question(1)], read_sum)
        assert spent(here.ledger, "r") == 0


def test_without_counts_of_tokens_calls_go_one_by_one_at_the_highest_price(tmp_path) -> None:
    worst = (12 + 8 + 4) / 1e6

    async def play() -> float:
        budget = Budget(settings(2.5 * worst), tmp_path / "l.db", "r")
        for _ in range(2):
            made = await budget.reserve([MICRO])
            waiting = asyncio.create_task(budget.reserve([MICRO]))
            await asyncio.sleep(0)
            assert not waiting.done()
            waiting.cancel()
            await budget.settle(made, None)
        with pytest.raises(OverBudgetError):
            await budget.reserve([MICRO])
        left = budget.spent
        budget.close()
        return left

    assert asyncio.run(play()) == pytest.approx(2 * worst)


def test_what_a_killed_process_set_aside_stays_spent(tmp_path) -> None:
    path = tmp_path / "ledger.db"
    worst = (12 + 8 + 4) / 1e6

    async def killed() -> None:
        await Budget(settings(1.5 * worst), path, "r").reserve([MICRO])

    async def next_one() -> None:
        await Budget(settings(1.5 * worst), path, "r").reserve([MICRO])

    asyncio.run(killed())
    with pytest.raises(OverBudgetError):
        asyncio.run(next_one())


def test_the_first_call_goes_alone_and_the_rest_learn_from_it(tmp_path) -> None:
    limit = settings(1.0)

    async def play() -> list[str]:
        budget, log = Budget(limit, tmp_path / "l.db", "r"), []
        first = await budget.reserve([MICRO])
        waiting = asyncio.create_task(budget.reserve([MICRO]))
        await asyncio.sleep(0)
        log.append("waits" if not waiting.done() else "goes")
        await budget.settle(first, COST, input_tokens=3)
        second = await waiting
        third = await budget.reserve([MICRO])
        await budget.settle(second, COST, 3)
        await budget.settle(third, COST, 3)
        budget.close()
        return log

    assert asyncio.run(play()) == ["waits"]


def test_a_call_waits_for_room_that_calls_in_flight_may_leave(tmp_path) -> None:
    worst = (12 + 8 + 4) / 1e6
    learnt = (3 * 1.25 + 4) / 1e6  # reserved per call once a token count is known

    async def play() -> float:
        budget = Budget(settings(worst + learnt), tmp_path / "l.db", "r")
        first = await budget.reserve([MICRO])
        await budget.settle(first, COST, 3)
        held = [await budget.reserve([MICRO]) for _ in range(3)]
        waiting = asyncio.create_task(budget.reserve([MICRO]))
        await asyncio.sleep(0)
        assert not waiting.done()
        await budget.settle(held[0], 0.0)
        await budget.settle(await waiting, 0.0)
        for each in held[1:]:
            await budget.settle(each, 0.0)
        left = budget.spent
        budget.close()
        return left

    assert asyncio.run(play()) == pytest.approx(COST)


def test_tokens_are_expected_by_letters_and_pixels() -> None:
    picture = Picture(b"no picture at all")
    messages = [Message("system", ("x" * 400,)), Message("user", ("é" * 20, picture))]
    assert expected_tokens(messages) == (400 + 40) // 4 + 0 + 2 * 8


def test_the_first_call_sets_aside_the_most_for_its_pictures(tmp_path) -> None:
    wide = Picture.png(np.zeros((512, 513, 3), np.uint8))
    prices = {"input_price": 1.0, "output_price": 0.0}
    most = (2 * (3_000 + 2 * 6_000) + 8) / 1e6

    async def play(most: float) -> None:
        limit = ChatSettings(target="m", base_url="http://h/v1", budget=most, **prices)
        budget = Budget(limit, tmp_path / "l.db", str(most))
        try:
            await budget.settle(await budget.reserve([Message("user", (wide, wide))]), 0.0)
        finally:
            budget.close()

    asyncio.run(play(most))
    with pytest.raises(OverBudgetError):
        asyncio.run(play(most - 1e-9))


def test_without_a_budget_nothing_is_written_down(tmp_path) -> None:
    with world(tmp_path, answers=add) as here:
        ask(here.chat(run="r"), [question(1)], read_sum)
        assert spent(here.ledger, "r") == 0
