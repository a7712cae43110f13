"""Locks that the operating system drops when their process dies, however it dies."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from editloop.errors import BusyError
from editloop.storage.files import explained

__all__ = ["lock", "shared_lock", "try_lock", "wait"]


@contextmanager
def lock(folder: Path, name: str = "run") -> Iterator[None]:
    """Hold a run folder for one driver; BusyError where another holds it.

    Workers don't hold it: a driver that dies frees the folder at once.
    """
    path = _path(folder, name)
    with try_lock(path) as held:
        if not held:
            raise BusyError(
                "another process works on this folder",
                value=f"{folder} ({path.read_text(errors='replace') or 'unknown'})",
                fix="wait until it ends, or stop it",
            )
        with suppress(OSError):  # a full disk: who holds the lock is only said for comfort
            path.write_text(f"process {os.getpid()} on {socket.gethostname()}")
        yield


def wait(folder: Path, name: str = "run") -> None:
    """Return when no driver holds `lock(folder, name)`."""
    with shared_lock(_path(folder, name)):
        pass


def _path(folder: Path, name: str) -> Path:
    return folder / ".editloop" / f"{name}.lock"


@contextmanager
def try_lock(path: Path) -> Iterator[bool]:
    """Hold a lock file alone; False where that is impossible now."""
    with _opened(path) as descriptor:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


@contextmanager
def shared_lock(path: Path) -> Iterator[None]:
    """Hold a lock file together with others; waits for one that holds it alone."""
    with _opened(path) as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    with explained("open a lock file", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
