"""Locks on names across threads and processes, released by the system when a process ends.

A name maps to a byte of an empty file, locked by `fcntl`; nothing is ever written. So a claim costs
only a system call, and none is left behind, however its process ends.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from editloop.storage.files import explained

__all__ = ["Claims"]

_FLOCK = "hhqqi0q"  # `struct flock` of Linux: type, whence, start, length, process
_DIGITS = 14  # of a name's digest, in hex: files have fewer than 2**63 bytes to lock


class Claims:
    """Claims on names in a lock file; threads share one object, other processes open their own.

    Raises StoreError if the file cannot be opened or locked.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = Lock()
        self._held: set[int] = set()
        self._descriptor: int | None = None

    @contextmanager
    def claim(self, name: str) -> Iterator[bool]:
        """Claim a name; yields False if it is already claimed elsewhere."""
        offset = int(hashlib.sha256(name.encode()).hexdigest()[:_DIGITS], 16)
        held = self._take(offset)
        try:
            yield held
        finally:
            if held:
                self._release(offset)

    def close(self) -> None:
        """Close the file, which releases all claims; the next use opens it again."""
        with self._lock:
            if self._descriptor is not None:
                os.close(self._descriptor)
            self._descriptor = None
            self._held.clear()

    def __reduce__(self) -> tuple[object, ...]:
        return (Claims, (self.path,))

    def __del__(self) -> None:
        self.close()

    def _take(self, offset: int) -> bool:
        with self._lock, explained("claim a call", self.path):
            if offset in self._held:
                return False
            descriptor = self._opened()
            try:
                _lock(descriptor, offset, held=True)
            except (BlockingIOError, PermissionError):  # a locked byte, depending on the system
                return False
            self._held.add(offset)
            return True

    def _release(self, offset: int) -> None:
        with self._lock, explained("end a claim", self.path):
            if offset in self._held:
                self._held.remove(offset)
                _lock(self._opened(), offset, held=False)

    def _opened(self) -> int:
        if self._descriptor is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        return self._descriptor


def _lock(descriptor: int, offset: int, *, held: bool) -> None:
    """Lock or unlock a byte, per open file on Linux, per process on other systems."""
    if sys.platform == "linux":
        kind = fcntl.F_WRLCK if held else fcntl.F_UNLCK
        request = struct.pack(_FLOCK, kind, os.SEEK_SET, offset, 1, 0)
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, request)
    else:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB if held else fcntl.LOCK_UN, 1, offset)
