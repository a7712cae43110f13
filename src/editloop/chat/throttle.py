"""An adaptive limit on concurrent calls, found as in TCP congestion control.

Additive increase, multiplicative decrease (Chiu and Jain, 1989): every reply raises the limit a
little, a sign of overload lowers it by a quarter. Calls that were running when it was lowered do
not lower it again, as they indicate the same overload.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

__all__ = ["ConcurrencyLimit", "Timer"]

_DECREASE = 0.75
_ROUNDS = 8  # rounds of replies to grow from one concurrent call to the ceiling


class Timer:
    """A clock and sleep, which tests replace."""

    def now(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class ConcurrencyLimit:
    """A limit of `current` concurrent calls, in [1, ceiling]."""

    def __init__(self, ceiling: int, timer: Timer) -> None:
        self.current = float(ceiling)
        self._ceiling = ceiling
        self._timer = timer
        self._running = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._paused_until = 0.0
        self._decreased_at = -1.0

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[float]:
        """Hold a slot for a call; yields the time of entry, for `decrease`."""
        await self._enter()
        try:
            yield self._timer.now()
        finally:
            self._free_slot()

    def increase(self) -> None:
        """Raise the limit after a reply."""
        step = self._ceiling / _ROUNDS / self.current
        self.current = min(self.current + step, float(self._ceiling))
        self._admit()

    def decrease(self, entered: float) -> None:
        """Lower the limit, as a call that entered at this time met an overloaded server."""
        if entered > self._decreased_at:
            self._decreased_at = self._timer.now()
            self.current = max(self.current * _DECREASE, 1.0)

    def pause(self, seconds: float) -> None:
        """Admit no calls for some seconds, as the server requested."""
        self._paused_until = max(self._paused_until, self._timer.now() + seconds)

    async def _enter(self) -> None:
        await self._take_slot()
        while (left := self._paused_until - self._timer.now()) > 0:
            self._free_slot()
            await self._timer.sleep(left)
            await self._take_slot()

    def _free_slot(self) -> None:
        self._running -= 1
        self._admit()

    async def _take_slot(self) -> None:
        if self._running < int(self.current):
            self._running += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # admitted, but cancelled at the same time
                self._free_slot()
            raise

    def _admit(self) -> None:
        while self._waiting and self._running < int(self.current):
            turn = self._waiting.popleft()
            if not turn.done():
                self._running += 1
                turn.set_result(None)
