"""A small SQLite file shared by processes and threads, with errors as EditLoopError.

It uses WAL mode, so readers never wait for a writer. WAL needs shared memory, so on a network file
system a rollback journal replaces it, which needs only locks that exclude all machines; a word is
printed. A killed process loses no writes; a power cut may lose the last ones but does not damage
the file.
"""

from __future__ import annotations

import sqlite3
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from editloop.errors import BusyError, ChangedError, CorruptError, StoreError
from editloop.storage.files import Files, explained
from editloop.storage.mounts import check_locks, mount_of

__all__ = ["Database", "Row"]

_FORMAT = 1
_WAIT = 60.0  # seconds for another process to finish its write

Row: TypeAlias = tuple[Any, ...]


class Database:
    """Tables in one file, which is opened on first use; missing tables are created.

    `tables` maps their names to their columns. Raises StoreError if the disk fails, BusyError if
    the file is locked, CorruptError if it is damaged. After unpickling, the file is reopened.
    """

    def __init__(self, path: Path, tables: Mapping[str, str]) -> None:
        self.path = path
        self._tables = tables
        self._lock = threading.RLock()
        self._opened: sqlite3.Connection | None = None

    def rows(self, statement: str, values: Row = ()) -> list[Row]:
        """Run one statement, committed immediately; returns its rows."""
        with self._lock, _explained(self.path):
            opened = self._open()
            with opened:
                return opened.execute(statement, values).fetchall()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Run statements in an exclusive transaction, rolled back if an exception is raised."""
        with self._lock, _explained(self.path):
            opened = self._open()
            with opened:
                opened.execute("BEGIN IMMEDIATE")
                yield opened

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        with self._lock:
            if self._opened is not None:
                self._opened.close()
                self._opened = None

    def __reduce__(self) -> tuple[object, ...]:
        return (Database, (self.path, self._tables))

    def __del__(self) -> None:
        self.close()

    def _open(self) -> sqlite3.Connection:
        if self._opened is not None:
            return self._opened
        with explained("open a database", self.path):
            Files().make_folder(self.path.parent)
            check_locks(self.path.parent)
        # The lock ensures that only one thread at a time uses it.
        opened = sqlite3.connect(self.path, timeout=_WAIT, check_same_thread=False)
        try:
            self._prepare(opened)
        except BaseException:
            opened.close()
            raise
        self._opened = opened
        return opened

    def _prepare(self, opened: sqlite3.Connection) -> None:
        mount = mount_of(self.path)
        if mount is not None and mount.shared:
            _use_rollback_journal(opened, self.path, mount.kind)
        else:
            opened.execute("PRAGMA synchronous = NORMAL")
        (form,) = opened.execute("PRAGMA user_version").fetchone()
        if form not in (0, _FORMAT):
            raise ChangedError(
                "a database was written by another version", value=self.path, fix="update editloop"
            )
        known = {name for (name,) in opened.execute("SELECT name FROM sqlite_master")}
        if known >= set(self._tables):
            return
        if mount is None or not mount.shared:
            opened.execute("PRAGMA journal_mode = WAL")
        with opened:
            opened.execute("BEGIN IMMEDIATE")
            for name, columns in self._tables.items():
                opened.execute(f"CREATE TABLE IF NOT EXISTS {name} {columns}")
            opened.execute(f"PRAGMA user_version = {_FORMAT}")


def _use_rollback_journal(opened: sqlite3.Connection, path: Path, kind: str) -> None:
    """Leave WAL mode for good; a database that was never in it, and is not new, says nothing."""
    new = not path.stat().st_size
    (mode,) = opened.execute("PRAGMA journal_mode").fetchone()
    opened.execute("PRAGMA journal_mode = DELETE")
    if new or mode == "wal":
        # repr escapes what could command the terminal
        sys.stderr.write(
            f"on a network file system ({kind}), so writing is slower, to be safe: {str(path)!r}\n"
        )


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorname in ("SQLITE_BUSY", "SQLITE_LOCKED"):
            raise BusyError(
                "another process has locked a database", value=path, fix="wait until it ends"
            ) from error
        raise StoreError(
            f"cannot use a database: {error}", value=path, fix="check the disk, then run again"
        ) from error
    except sqlite3.DatabaseError as error:
        raise CorruptError(
            f"a database is damaged: {error}",
            value=path,
            fix="restore it from a copy, or move it away: its content will be requested again",
        ) from error
