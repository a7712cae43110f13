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

__all__ = ["Gate", "Timer"]

_NARROWING = 0.75
_ROUNDS = 8  # rounds of replies to grow from one concurrent call to the ceiling


class Timer:
    """A clock and sleep, which tests replace."""

    def now(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class Gate:
    """A limit of `width` concurrent calls; width is in [1, ceiling]."""

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
        """Hold a slot for a call; yields the time of entry, for `narrow`."""
        await self._enter()
        try:
            yield self._timer.now()
        finally:
            self._leave()

    def widen(self) -> None:
        """Raise the limit after a reply."""
        step = self._ceiling / _ROUNDS / self.width
        self.width = min(self.width + step, float(self._ceiling))
        self._admit()

    def narrow(self, entered: float) -> None:
        """Lower the limit, as a call that entered at this time met an overloaded server."""
        if entered > self._narrowed:
            self._narrowed = self._timer.now()
            self.width = max(self.width * _NARROWING, 1.0)

    def close_for(self, seconds: float) -> None:
        """Admit no calls for some seconds, as the server requested."""
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
            if turn.done() and not turn.cancelled():  # admitted, but cancelled at the same time
                self._leave()
            raise

    def _admit(self) -> None:
        while self._waiting and self._inside < int(self.width):
            turn = self._waiting.popleft()
            if not turn.done():
                self._inside += 1
                turn.set_result(None)
