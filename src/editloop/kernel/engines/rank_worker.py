"""The worker processes that a rank of a launcher holds for the leader, which calls them by number.

The rank itself runs no task. It tells the leader how each ended, and whether it is late.
"""

from __future__ import annotations

import pickle
import threading
import time
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from itertools import count
from typing import Any

from editloop.errors import StepError
from editloop.kernel.engines.processes import LocalProcess
from editloop.runtime.peers import Peer

__all__ = ["start"]

_LOOKING = 0.5  # seconds between two looks at the signs of life
_BEATING = 20  # looks between two words to the leader


def start(peer: Peer, number: int, device: str) -> None:
    """Hold a new worker process on a device under a number."""
    peer.tied[number] = _Held(peer, number, device)


class _Held:
    """A worker process, and the call that it makes."""

    def __init__(self, peer: Peer, number: int, device: str) -> None:
        self._peer = peer
        self._number = number
        self._process = LocalProcess(device)
        self._running: int | None = None
        self._stopped = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def submit(self, call: int, pickled: bytes) -> None:
        """Start a task."""
        try:
            future = self._process.submit(pickle.loads(pickled))
        except Exception as error:  # such as a task of a module that is not here
            self._end(call, None, error)
            return
        self._running = call
        future.add_done_callback(partial(self._ended, call))

    def kill(self) -> None:
        """End the process."""
        self._running = None
        self._process.kill()

    def close(self, call: int) -> None:
        """Close what the worker keeps, if it ran a task."""
        future = self._process.close()
        if future is None:
            self._end(call, None)
        else:
            future.add_done_callback(partial(self._ended, call))

    def stop(self) -> None:
        """Wait until the process has ended."""
        self._process.stop()
        self._stopped.set()
        self._peer.tied.pop(self._number, None)
        self._tell("stopped")

    def lost(self) -> None:
        """End the process, as the leader is gone."""
        self._process.kill()
        self._stopped.set()

    def _ended(self, call: int, future: Future[Any]) -> None:
        if future.cancelled():
            return
        if self._running == call:
            self._running = None
        error = future.exception()
        self._end(call, None if error else future.result(), error)

    def _end(self, call: int, value: Any, error: BaseException | None = None) -> None:
        try:
            pickled = pickle.dumps((value, error))
        except Exception as failure:
            pickled = pickle.dumps((None, StepError(f"a task's end has no pickle: {failure}")))
        self._tell("ended", call, pickled)

    def _watch(self) -> None:
        for look in count(1):
            if self._stopped.wait(_LOOKING):
                return
            call = self._running
            if call is not None and self._process.due <= time.monotonic():
                self._tell("late", call)
            elif look % _BEATING == 0:
                self._tell("beat")

    def _tell(self, what: str, *arguments: Any) -> None:
        with suppress(OSError):  # the leader is gone, which ends the rank
            self._peer.tell(self._number, what, *arguments)
