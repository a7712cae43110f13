"""File locks, which the operating system releases when their process ends in any way.

Raises StoreError where locks do not exclude all other processes (`mounts`).
"""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from editloop.errors import BusyError
from editloop.storage.files import explained
from editloop.storage.mounts import check_locks

__all__ = ["lock", "shared_lock", "try_lock", "wait"]


@contextmanager
def lock(folder: Path, name: str = "run") -> Iterator[None]:
    """Lock a run folder for one driver; raises BusyError if another process has locked it.

    Workers do not hold the lock, so it is released at once if the driver dies.
    """
    path = _path(folder, name)
    with try_lock(path) as held:
        if not held:
            raise BusyError(
                "another process is using this folder",
                value=f"{folder} ({path.read_text(errors='replace') or 'unknown'})",
                fix="wait until it ends, or stop it",
            )
        with suppress(OSError):  # a full disk: the lock's owner is only informative
            path.write_text(f"process {os.getpid()} on {socket.gethostname()}")
        yield


def wait(folder: Path, name: str = "run") -> None:
    """Wait until no driver holds `lock(folder, name)`."""
    with shared_lock(_path(folder, name)):
        pass


def _path(folder: Path, name: str) -> Path:
    return folder / ".editloop" / f"{name}.lock"


@contextmanager
def try_lock(path: Path) -> Iterator[bool]:
    """Try to lock a file exclusively; yields whether it succeeded, without waiting."""
    with _opened(path) as descriptor:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


@contextmanager
def shared_lock(path: Path) -> Iterator[None]:
    """Hold a shared lock on a file; waits for an exclusive lock to be released."""
    with _opened(path) as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    with explained("open a lock file", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        check_locks(path.parent)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
