"""Claims on names, each held by one claimer at a time; the system drops those of a dead process.

A name is a byte of one empty file, locked by `fcntl`; nothing is ever written. So a claim costs no
more than a call of the system, and none is left behind, however its process ends.
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
    """Names in a lock file; threads share one object, and other processes open their own.

    Raises StoreError where the file cannot be opened or locked.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = Lock()
        self._held: set[int] = set()
        self._descriptor: int | None = None

    @contextmanager
    def claim(self, name: str) -> Iterator[bool]:
        """Hold a name alone; False where somebody else holds it now."""
        place = int(hashlib.sha256(name.encode()).hexdigest()[:_DIGITS], 16)
        held = self._take(place)
        try:
            yield held
        finally:
            if held:
                self._give(place)

    def close(self) -> None:
        """Close the file, which drops what is held; it is opened again when it is used again."""
        with self._lock:
            if self._descriptor is not None:
                os.close(self._descriptor)
            self._descriptor = None
            self._held.clear()

    def __reduce__(self) -> tuple[object, ...]:
        return (Claims, (self.path,))

    def __del__(self) -> None:
        self.close()

    def _take(self, place: int) -> bool:
        with self._lock, explained("claim a call", self.path):
            if place in self._held:
                return False
            descriptor = self._opened()
            try:
                _lock(descriptor, place, held=True)
            except (BlockingIOError, PermissionError):  # what systems say of a byte that is locked
                return False
            self._held.add(place)
            return True

    def _give(self, place: int) -> None:
        with self._lock, explained("end a claim", self.path):
            if place in self._held:
                self._held.remove(place)
                _lock(self._opened(), place, held=False)

    def _opened(self) -> int:
        if self._descriptor is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        return self._descriptor


def _lock(descriptor: int, place: int, *, held: bool) -> None:
    """Lock or free one byte for this opened file; elsewhere than on Linux for its process."""
    if sys.platform == "linux":
        kind = fcntl.F_WRLCK if held else fcntl.F_UNLCK
        asked = struct.pack(_FLOCK, kind, os.SEEK_SET, place, 1, 0)
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, asked)
    else:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB if held else fcntl.LOCK_UN, 1, place)
