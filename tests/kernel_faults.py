"""File operations that fail or crash at a chosen point, and the published files of a run."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from editloop.storage.files import Files

__all__ = [
    "CommittingFiles",
    "CountingFiles",
    "FaultyFiles",
    "ForgettingFiles",
    "UnsyncedFiles",
    "die",
    "published",
]

OPERATIONS = [name for name in vars(Files) if not name.startswith("_")]
# Where a kill makes a difference: before a change of what other processes see.
CHANGES = ["make_folder", "create", "write", "rename", "link", "remove", "remove_folder"]


class UnsyncedFiles(Files):
    """File operations without fsync: a killed process loses no data held by the system."""

    def sync(self, descriptor: int) -> None:
        pass

    def sync_path(self, path: Path) -> None:
        pass


class CountingFiles(UnsyncedFiles):
    """File operations counted by name."""

    def __init__(self) -> None:
        self.counts = dict.fromkeys(OPERATIONS, 0)

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    def before(self, operation: str, *_: Any) -> None:
        self.counts[operation] += 1


def _counted(name: str) -> Callable[..., Any]:
    done = getattr(UnsyncedFiles, name)

    def operation(self: CountingFiles, *args: Any) -> Any:
        self.before(name, *args)
        return done(self, *args)

    return operation


for _name in OPERATIONS:
    setattr(CountingFiles, _name, _counted(_name))


class FaultyFiles(CountingFiles):
    """Calls `fault` at the operation number `at`, and at all later ones if it is `lasting`.

    Only operations named in `kinds` count. A write that fails has put half its bytes on the disk.
    """

    def __init__(
        self,
        at: int,
        fault: Callable[[], None],
        *,
        lasting: bool = False,
        kinds: Sequence[str] = OPERATIONS,
    ) -> None:
        super().__init__()
        self.at = at
        self.fault = fault
        self.lasting = lasting
        self.kinds = kinds
        self.reached = False

    def before(self, operation: str, *args: Any) -> None:
        if operation not in self.kinds:
            return
        number = self.total
        super().before(operation)
        if number == self.at or (self.lasting and number > self.at):
            self.reached = True
            if operation == "write":
                descriptor, data = args
                Files.write(self, descriptor, data[: len(data) // 2])
            if operation == "close":
                Files.close(self, *args)  # the system frees the descriptor even if close fails
            self.fault()


class CommittingFiles(UnsyncedFiles):
    """Kills the worker once: as soon as it has committed a shard, before it can say so."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def link(self, old: Path, new: Path) -> None:
        super().link(old, new)
        if not self.mark.exists():
            self.mark.touch()
            die()


class ForgettingFiles(UnsyncedFiles):
    """Creates no commit record, as on a disk that the driver does not see."""

    def link(self, old: Path, new: Path) -> None:
        pass


def fail(number: int) -> None:
    raise OSError(number, os.strerror(number))


DISK_FULL = partial(fail, errno.ENOSPC)
READ_ONLY = partial(fail, errno.EROFS)
BROKEN = partial(fail, errno.EIO)


def die() -> None:
    """Kill this process as `kill -9` does."""
    os.kill(os.getpid(), signal.SIGKILL)


def published(out: Path) -> dict[str, str]:
    """Return the published files of a run: hashes by path, without the kernel's own folder."""
    return {
        path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*"))
        if path.is_file() and ".editloop" not in path.parts
    }
