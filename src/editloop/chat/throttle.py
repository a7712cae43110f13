"""How many calls may be in flight: as many as the server bears, found out as TCP does.

Additive increase, multiplicative decrease (Chiu and Jain, 1989): every reply widens the gate a
little, a sign of overload narrows it by a quarter. Calls that were in flight when it was narrowed
don't narrow it again, as they tell of the same overload.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

__all__ = ["Gate", "Timer"]

_NARROWING = 0.75
_ROUNDS = 8  # of replies from one call in flight to the ceiling


class Timer:
    """The time and the wait for it, so that a test can let it fly."""

    def now(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class Gate:
    """Lets at most `width` calls through at once; width lies in [1, ceiling]."""

    def __init__(self, ceiling: int, timer: Timer) -> None:
        self.width = float(ceiling)
        self._ceiling = ceiling
        self._timer = timer
        self._inside = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._closed_until = 0.0
        self._narrowed = -1.0

    @asynccontextmanager
    async def passed(self) -> AsyncIterator[float]:
        """Be inside; gives the time of entry, which `narrow` wants to know."""
        await self._enter()
        try:
            yield self._timer.now()
        finally:
            self._leave()

    def widen(self) -> None:
        """A reply came."""
        step = self._ceiling / _ROUNDS / self.width
        self.width = min(self.width + step, float(self._ceiling))
        self._admit()

    def narrow(self, entered: float) -> None:
        """A call that entered at this time met an overloaded server."""
        if entered > self._narrowed:
            self._narrowed = self._timer.now()
            self.width = max(self.width * _NARROWING, 1.0)

    def close_for(self, seconds: float) -> None:
        """Let nobody in for a while: the server said when to come back."""
        self._closed_until = max(self._closed_until, self._timer.now() + seconds)

    async def _enter(self) -> None:
        await self._take_turn()
        while (left := self._closed_until - self._timer.now()) > 0:
            self._leave()
            await self._timer.sleep(left)
            await self._take_turn()

    def _leave(self) -> None:
        self._inside -= 1
        self._admit()

    async def _take_turn(self) -> None:
        if self._inside < int(self.width):
            self._inside += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # admitted and given up at once
                self._leave()
            raise

    def _admit(self) -> None:
        while self._waiting and self._inside < int(self.width):
            turn = self._waiting.popleft()
            if not turn.done():
                self._inside += 1
                turn.set_result(None)
