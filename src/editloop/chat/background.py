"""An event loop in its own thread, so that synchronous code can use async clients."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from threading import Thread, current_thread
from typing import Any, TypeAlias, TypeVar

__all__ = ["Background"]

_Result = TypeVar("_Result")
_Work: TypeAlias = Callable[[], Coroutine[Any, Any, _Result]]


class Background:
    """Runs coroutines for callers that are synchronous or inside another event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._closing = False
        self._thread = Thread(target=self._serve, name="editloop-background", daemon=True)
        self._thread.start()

    def run(self, work: _Work[_Result]) -> _Result:
        """Run a coroutine and return its result; an interrupt cancels the coroutine.

        Raises RuntimeError after `close`.
        """
        if self._closing:
            raise RuntimeError("this event loop is closed; create a new Chat")
        future = asyncio.run_coroutine_threadsafe(work(), self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def close(self, last: _Work[None]) -> None:
        """Run a last coroutine, then stop the loop and its thread; a second call does nothing."""
        if self._closing:
            return
        self._closing = True
        asyncio.run_coroutine_threadsafe(self._end(last), self._loop)
        if current_thread() is not self._thread:  # it can be, if a finaliser runs there
            self._thread.join()

    async def _end(self, last: _Work[None]) -> None:
        try:
            await last()
        finally:
            self._loop.stop()

    def _serve(self) -> None:
        self._loop.run_forever()
        self._loop.close()
