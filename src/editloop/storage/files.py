"""The file operations through which all storage code accesses the disk.

`Files` contains the raw operations and raises plain OSError, so tests can simulate a full disk, a
read-only folder or a crash. Callers convert OSError to StoreError with `explained` and write
durable files with `NewFile`.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO
from uuid import uuid4

from editloop.errors import CorruptError, StoreError

__all__ = [
    "Files",
    "NewFile",
    "check_below",
    "check_plain",
    "explained",
    "file_hash",
    "link_folder",
    "replace_file",
    "sweep_temporaries",
    "temporary",
]

_CHUNK = 1 << 20
_PLAIN = re.compile(r"[\w+-][\w.+-]*")
_TEMPORARY = ".tmp-"


class Files:
    """The file operations a store needs; each may raise OSError."""

    def make_folder(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)

    def create(self, path: Path) -> int:
        """Create a file for writing, which must not exist yet; returns its descriptor."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)

    def write(self, descriptor: int, data: memoryview) -> int:
        """Write some of `data`; returns the number of bytes written."""
        return os.write(descriptor, data)

    def sync(self, descriptor: int) -> None:
        os.fsync(descriptor)

    def close(self, descriptor: int) -> None:
        os.close(descriptor)

    def read(self, path: Path) -> BinaryIO:
        """Open a file for reading."""
        return path.open("rb")

    def rename(self, old: Path, new: Path) -> None:
        """Rename a file, replacing an existing one, or a folder to an unused name."""
        old.replace(new)

    def link(self, old: Path, new: Path) -> None:
        """Create a hard link to a file; the new name must not exist yet."""
        os.link(old, new)

    def remove(self, path: Path) -> None:
        path.unlink()

    def remove_folder(self, folder: Path) -> None:
        """Remove a folder and everything in it."""
        shutil.rmtree(folder)

    def names(self, folder: Path) -> list[str]:
        """Return the names in a folder, unordered; empty if the folder does not exist."""
        try:
            return [entry.name for entry in os.scandir(folder)]
        except FileNotFoundError:
            return []

    def sync_path(self, path: Path) -> None:
        """Sync a file's bytes, or the names in a folder, so that they survive a power cut."""
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class NewFile:
    """A new file being written: hashed while written, and durable once `finish` has returned.

    Has the methods that PyArrow needs of a file to write to. Small writes are buffered.
    """

    def __init__(self, files: Files, path: Path) -> None:
        self.path = path
        self.size = 0
        self.closed = False
        self._files = files
        self._hash = hashlib.sha256()
        self._pending = bytearray()
        self._descriptor = files.create(path)

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def write(self, data: bytes) -> int:
        self._hash.update(data)
        self._pending += data
        self.size += len(data)
        if len(self._pending) >= _CHUNK:
            self.flush()
        return len(data)

    def flush(self) -> None:
        data = memoryview(bytes(self._pending))
        self._pending.clear()
        while data:
            data = data[self._files.write(self._descriptor, data) :]

    def finish(self) -> None:
        """Flush to the disk, close, and verify the file by reading it back.

        Raises OSError if the bytes read differ from the bytes written.
        """
        self.flush()
        self._files.sync(self._descriptor)
        self.close()
        if file_hash(self._files, self.path) != self.sha256:
            raise OSError(
                errno.EIO, "the file reads back differently than it was written", str(self.path)
            )

    def close(self) -> None:
        """Close without syncing; a file that was not finished is an orphan."""
        if not self.closed:
            self.closed = True
            self._files.close(self._descriptor)


def check_plain(name: str, what: str) -> None:
    """Raise StoreError unless `name` is safe as (part of) a file name."""
    if not _PLAIN.fullmatch(name):
        raise StoreError(
            f"{what} has a name that cannot be used as a file name",
            value=repr(name),
            fix="use letters, digits and . + - _, and do not start with a dot",
        )


def check_below(name: str, what: str) -> None:
    """Raise CorruptError unless `name`, from a record, is a path below the record's folder."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\0" in name:
        raise CorruptError(
            f"a record names {what} outside its folder",
            value=repr(name),
            fix="do not trust this folder, or restore it from a copy",
        )


def file_hash(files: Files, path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hex."""
    digest = hashlib.sha256()
    with files.read(path) as handle:
        while chunk := handle.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def temporary(path: Path) -> Path:
    """Return a new name beside `path` that readers ignore and `sweep_temporaries` removes."""
    return path.with_name(f"{_TEMPORARY}{uuid4().hex[:12]}")


def replace_file(files: Files, path: Path, data: bytes) -> None:
    """Replace a file with `data` atomically: readers see the old bytes or the new ones."""
    files.make_folder(path.parent)
    new = NewFile(files, temporary(path))
    try:
        new.write(data)
        new.finish()
    finally:
        new.close()
    files.rename(new.path, path)
    files.sync_path(path.parent)


def sweep_temporaries(files: Files, folder: Path) -> None:
    """Remove the files that an interrupted `replace_file` left in a folder."""
    for name in files.names(folder):
        if name.startswith(_TEMPORARY):
            files.remove(folder / name)


def link_folder(source: Path, folder: Path) -> None:
    """Link all files of a folder into a new one, or copy them where links are not possible."""
    for path in [each for each in source.rglob("*") if each.is_file()]:
        target = folder / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(path, target)
        except OSError:  # a file system without hard links
            shutil.copyfile(path, target)


_FIXES = {
    errno.ENOSPC: "free some disk space, then run again to resume",
    errno.EDQUOT: "free some of the quota, then run again to resume",
    errno.EROFS: "choose a writable folder",
    errno.EACCES: "choose a writable folder",
    errno.EPERM: "choose a writable folder on a file system with hard links",
    errno.EIO: "check the disk, then run again to resume",
    errno.EMFILE: "raise the limit on open files (ulimit -n)",
}


@contextmanager
def explained(action: str, path: Path) -> Iterator[None]:
    """Convert an OSError to a StoreError with the failed action, the path and a fix."""
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"cannot {action}: {error.strerror or error}",
            value=path,
            fix=_FIXES.get(error.errno or 0, "check the folder, then run again"),
        ) from error
