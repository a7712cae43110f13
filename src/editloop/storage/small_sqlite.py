"""A small SQLite file that processes and threads share, with errors in our own words.

WAL mode, so readers never wait for a writer; on a local disk, as WAL needs shared memory. A killed
process loses nothing that was written; a power cut may lose the last writes, but damages none.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from editloop.errors import BusyError, ChangedError, CorruptError, StoreError
from editloop.storage.files import Files, explained

__all__ = ["Database", "Row"]

_FORMAT = 1
_WAIT = 60.0  # seconds for another process to finish its write

Row: TypeAlias = tuple[Any, ...]


class Database:
    """Tables in one file, made where they are missing; opened when it is first used.

    `tables` maps their names to their columns. Errors of the disk are StoreError, of its lock
    BusyError, and damage is CorruptError. It can be pickled: the other process opens the file.
    """

    def __init__(self, path: Path, tables: Mapping[str, str]) -> None:
        self.path = path
        self._tables = tables
        self._lock = threading.RLock()
        self._opened: sqlite3.Connection | None = None

    def rows(self, statement: str, values: Row = ()) -> list[Row]:
        """Run one statement, committed at once; what it answers."""
        with self._lock, _explained(self.path):
            opened = self._open()
            with opened:
                return opened.execute(statement, values).fetchall()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Several statements as one, alone in the file; undone where anything is raised."""
        with self._lock, _explained(self.path):
            opened = self._open()
            with opened:
                opened.execute("BEGIN IMMEDIATE")
                yield opened

    def close(self) -> None:
        """Close the file; it is opened again when it is used again."""
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
        # Used by one thread at a time: the lock sees to that.
        opened = sqlite3.connect(self.path, timeout=_WAIT, check_same_thread=False)
        try:
            self._prepare(opened)
        except BaseException:
            opened.close()
            raise
        self._opened = opened
        return opened

    def _prepare(self, opened: sqlite3.Connection) -> None:
        opened.execute("PRAGMA synchronous = NORMAL")
        (form,) = opened.execute("PRAGMA user_version").fetchone()
        if form not in (0, _FORMAT):
            raise ChangedError(
                "a database was written by another version", value=self.path, fix="update editloop"
            )
        known = {name for (name,) in opened.execute("SELECT name FROM sqlite_master")}
        if known >= set(self._tables):
            return
        opened.execute("PRAGMA journal_mode = WAL")
        with opened:
            opened.execute("BEGIN IMMEDIATE")
            for name, columns in self._tables.items():
                opened.execute(f"CREATE TABLE IF NOT EXISTS {name} {columns}")
            opened.execute(f"PRAGMA user_version = {_FORMAT}")


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorname in ("SQLITE_BUSY", "SQLITE_LOCKED"):
            raise BusyError(
                "another process holds a database", value=path, fix="wait until it ends"
            ) from error
        raise StoreError(
            f"cannot use a database: {error}", value=path, fix="check the disk, then run again"
        ) from error
    except sqlite3.DatabaseError as error:
        raise CorruptError(
            f"a database is damaged: {error}",
            value=path,
            fix="restore it from a copy, or move it away: what it held is asked again",
        ) from error
