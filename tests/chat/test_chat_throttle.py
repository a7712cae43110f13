"""The limit: an adaptive limit on concurrent calls."""

import asyncio

import pytest

from chat_world import FlyingTimer, ask, question, read_sum, world
from editloop.chat.fake.faults import Fault
from editloop.chat.throttle import ConcurrencyLimit


async def busiest(limit: ConcurrencyLimit, calls: int) -> int:
    """Return the largest number of these calls that run at the same time."""
    inside = most = 0

    async def call() -> None:
        nonlocal inside, most
        async with limit.slot():
            inside += 1
            most = max(most, inside)
            for _ in range(3):
                await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(call() for _ in range(calls)))
    return most


def test_no_more_than_the_ceiling_pass_at_once() -> None:
    assert asyncio.run(busiest(ConcurrencyLimit(5, FlyingTimer()), 30)) == 5


def test_overload_narrows_by_a_quarter() -> None:
    limit = ConcurrencyLimit(32, FlyingTimer())
    limit.decrease(entered=1.0)
    assert limit.current == 24
    assert asyncio.run(busiest(limit, 60)) == 24


def test_calls_of_the_same_overload_narrow_once() -> None:
    timer = FlyingTimer()
    limit = ConcurrencyLimit(32, timer)
    asyncio.run(timer.sleep(10))
    limit.decrease(entered=4.0)
    limit.decrease(entered=5.0)
    assert limit.current == 24
    limit.decrease(entered=11.0)
    assert limit.current == 18


def test_one_call_always_passes() -> None:
    limit = ConcurrencyLimit(4, FlyingTimer())
    for time in range(1, 50):
        limit.decrease(entered=float(time))
    assert limit.current == 1
    assert asyncio.run(busiest(limit, 5)) == 1


def test_eight_rounds_of_replies_open_it_wholly_and_no_further() -> None:
    limit = ConcurrencyLimit(32, FlyingTimer())
    for time in range(1, 50):
        limit.decrease(entered=float(time))
    rounds = 0
    while limit.current < 32:
        rounds += 1
        for _ in range(int(limit.current)):
            limit.increase()
    assert rounds in (8, 9)
    limit.increase()
    assert limit.current == 32


def test_while_closed_nobody_enters() -> None:
    timer = FlyingTimer()
    limit = ConcurrencyLimit(2, timer)

    async def enter() -> float:
        async with limit.slot() as entered:
            return entered

    limit.pause(7)
    assert asyncio.run(enter()) >= 7


def test_closing_holds_those_who_were_already_waiting() -> None:
    timer = FlyingTimer()
    limit = ConcurrencyLimit(1, timer)
    entered: list[float] = []

    async def play() -> None:
        async def second() -> None:
            async with limit.slot() as at:
                entered.append(at)

        async with limit.slot():
            task = asyncio.create_task(second())
            await asyncio.sleep(0)
            limit.pause(3)
        await task

    asyncio.run(play())
    assert entered == [pytest.approx(3)]


def test_a_caller_who_gives_up_leaves_no_hole() -> None:
    limit = ConcurrencyLimit(1, FlyingTimer())

    async def pass_through() -> None:
        async with limit.slot():
            await asyncio.sleep(0)

    async def play() -> None:
        async with limit.slot():
            tasks = [asyncio.create_task(pass_through()) for _ in range(3)]
            await asyncio.sleep(0)
            tasks[0].cancel()
        tasks[1].cancel()  # it was admitted just now
        await asyncio.gather(*tasks, return_exceptions=True)
        assert not tasks[2].cancelled()

    asyncio.run(play())
    assert asyncio.run(busiest(limit, 3)) == 1


def test_a_server_that_bears_four_calls_is_soon_asked_by_about_four() -> None:
    timer = FlyingTimer()
    limit = ConcurrencyLimit(32, timer)
    asked = []
    for _ in range(100):
        asyncio.run(timer.sleep(1))
        asked.append(int(limit.current))
        for call in range(asked[-1]):
            if call < 4:
                limit.increase()
            else:
                limit.decrease(entered=timer.now())
    assert asked[0] == 32
    assert all(4 <= each < 8 for each in asked[20:])


@pytest.mark.slow
def test_questions_that_an_overloaded_server_refused_are_all_answered(tmp_path) -> None:
    holder = []

    def overloaded(_: object) -> Fault | None:
        return Fault.RATE_LIMITED if holder and holder[0].server.busy_now > 4 else None

    with world(tmp_path, schedule=overloaded, latency=0.002) as here:
        holder.append(here)
        chat = here.chat(concurrency=32, attempts=500)
        answers = ask(chat, [question(n) for n in range(300)], read_sum)
        assert answers == [n + 1 for n in range(300)]
        assert here.server.seen.faults[Fault.RATE_LIMITED] > 0
