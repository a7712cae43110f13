"""Locks on names across threads and processes, released by the system when a process ends.

A name maps to a byte of an empty file, locked by `fcntl`; nothing is ever written. So a lock costs
only a system call, and none is left behind, however its process ends.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from editloop.storage.files import explained
from editloop.storage.mounts import check_locks, lock_byte

__all__ = ["KeyLocks"]

_DIGITS = 14  # of a name's digest, in hex: files have fewer than 2**63 bytes to lock


class KeyLocks:
    """Locks on names in a lock file; threads share one object, other processes open their own.

    Raises StoreError if the file cannot be opened or locked, or locks there exclude nobody.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = Lock()
        self._held: dict[int, Future[None]] = {}
        self._descriptor: int | None = None

    @contextmanager
    def hold(self, name: str, *, force: bool = False) -> Iterator[bool]:
        """Lock a name; yields False if it is held already.

        `force` disregards another process that holds it, but not a holder of this object.
        """
        offset = _offset(name)
        held = self._take(offset, force=force)
        try:
            yield held
        finally:
            if held:
                self._release(offset)

    def released(self, name: str) -> Future[None] | None:
        """Return a future that is done when this object's lock on a name ends; None if unlocked."""
        return self._held.get(_offset(name))

    def close(self) -> None:
        """Close the file, which releases all locks; the next use opens it again."""
        with self._lock:
            if self._descriptor is not None:
                os.close(self._descriptor)
            self._descriptor = None
            while self._held:
                self._held.popitem()[1].set_result(None)

    def __reduce__(self) -> tuple[object, ...]:
        return (KeyLocks, (self.path,))

    def __del__(self) -> None:
        self.close()

    def _take(self, offset: int, *, force: bool) -> bool:
        with self._lock, explained("lock a call", self.path):
            if offset in self._held or not (lock_byte(self._opened(), offset, held=True) or force):
                return False
            released = self._held[offset] = Future()
            released.set_running_or_notify_cancel()  # so that who stops waiting cannot cancel it
            return True

    def _release(self, offset: int) -> None:
        with self._lock, explained("unlock a call", self.path):
            if (released := self._held.pop(offset, None)) is not None:
                released.set_result(None)
                lock_byte(self._opened(), offset, held=False)

    def _opened(self) -> int:
        if self._descriptor is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            check_locks(self.path.parent)
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        return self._descriptor


def _offset(name: str) -> int:
    return int(hashlib.sha256(name.encode()).hexdigest()[:_DIGITS], 16)
