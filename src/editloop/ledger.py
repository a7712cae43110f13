"""The ledger: every model call is paid once, and its raw reply is kept for ever.

One SQLite file in WAL mode on a local disk, shared by runs, threads and processes. A reply is kept
under the key of the call that it answers (`chat_body.call_key`); the first one stays. What is read
is proven by a digest, so a flipped byte is found and never read as an answer. No key of a server
(a secret) is ever written here.
"""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa

from editloop.errors import BusyError, ChangedError, CorruptError, StoreError
from editloop.files import Files, explained, temporary
from editloop.parquet import TableWriter
from editloop.schema import canonical_json

__all__ = ["Ledger", "Reply"]

_FORMAT = 1
_WAIT = 60.0  # seconds for another process to finish its write
_EXPORTED = 1000  # replies a batch

_TABLE = """CREATE TABLE IF NOT EXISTS replies (
    key TEXT PRIMARY KEY, text BLOB NOT NULL, model TEXT NOT NULL, revision TEXT NOT NULL,
    finish_reason TEXT NOT NULL, input_tokens INTEGER, output_tokens INTEGER, cost REAL,
    seconds REAL NOT NULL, digest BLOB NOT NULL) WITHOUT ROWID"""

_Row: TypeAlias = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Reply:
    """A raw reply: the text byte for byte, and what the server said of it.

    `model` and `revision` are those that the server reported, `cost` is in USD, `seconds` is the
    time of the one call that succeeded. Tokens are None where the server counted none.
    """

    text: str
    model: str = ""
    revision: str = ""
    finish_reason: str = ""
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost: float | None = None
    seconds: float = 0.0


_COLUMNS = ", ".join(field.name for field in fields(Reply))


class Ledger:
    """The replies in one file; it is opened when it is first used.

    Errors of the disk are StoreError, of its lock BusyError, and damage is CorruptError.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._opened: sqlite3.Connection | None = None

    def find(self, key: str) -> Reply | None:
        """The reply kept under a key, if there is one; CorruptError where it was damaged."""
        rows = self._run(f"SELECT {_COLUMNS}, digest FROM replies WHERE key = ?", (key,))
        if not rows:
            return None
        *row, digest = rows[0]
        if digest != _digest(key, row):
            raise CorruptError(
                "a reply in the ledger is not as it was written",
                value=f"{self.path}: {key}",
                fix="restore the file from a copy, or move it away: what it held is asked again",
            )
        return Reply(_text(row[0]), *row[1:])

    def keep(self, key: str, reply: Reply) -> Reply:
        """Keep a reply and answer with the one that stands: the first under this key."""
        row = [_bytes(reply.text), *(_storable(value) for value in astuple(reply)[1:])]
        marks = ", ".join("?" * (len(row) + 2))
        self._run(
            f"INSERT OR IGNORE INTO replies (key, {_COLUMNS}, digest) VALUES ({marks})",
            (key, *row, _digest(key, row)),
        )
        return self.find(key) or reply

    def count(self) -> int:
        """How many replies are kept."""
        return int(self._run("SELECT count(*) FROM replies")[0][0])

    def export(self, path: Path) -> int:
        """Write all replies to a Parquet file, sorted by key; returns how many.

        A lone surrogate, which Parquet cannot hold, is written as `\\udXXX`.
        """
        files = Files()
        with explained("export the ledger", path):
            files.make_folder(path.parent)
            hidden = temporary(path)
            writer = TableWriter(files, hidden, _SCHEMA)
            try:
                for rows in self._pages():
                    writer.write(_table(rows))
                written = writer.finish()
            finally:
                writer.close()
            files.rename(hidden, path)
        return written.rows

    def close(self) -> None:
        """Close the file; it is opened again when it is used again."""
        with self._lock:
            if self._opened is not None:
                self._opened.close()
                self._opened = None

    def __getstate__(self) -> Path:
        return self.path  # a connection cannot go to another process; the file can

    def __setstate__(self, path: Path) -> None:
        Ledger.__init__(self, path)

    def __del__(self) -> None:
        self.close()

    def _pages(self) -> Iterator[list[_Row]]:
        last = ""
        query = f"SELECT key, {_COLUMNS} FROM replies WHERE key > ? ORDER BY key LIMIT {_EXPORTED}"
        while rows := self._run(query, (last,)):
            last = rows[-1][0]
            yield rows

    def _run(self, statement: str, values: _Row = ()) -> list[_Row]:
        with self._lock, _explained(self.path):
            if self._opened is None:
                self._opened = _open(self.path)
            with self._opened:
                return self._opened.execute(statement, values).fetchall()


def _open(path: Path) -> sqlite3.Connection:
    Files().make_folder(path.parent)
    # Used by one thread at a time: the ledger's lock sees to that.
    opened = sqlite3.connect(path, timeout=_WAIT, check_same_thread=False)
    try:
        _prepare(opened, path)
    except BaseException:
        opened.close()
        raise
    return opened


def _prepare(opened: sqlite3.Connection, path: Path) -> None:
    # A killed process loses nothing; a power cut may lose the last replies, but damages none.
    opened.execute("PRAGMA synchronous = NORMAL")
    (form,) = opened.execute("PRAGMA user_version").fetchone()
    if form == _FORMAT:
        return
    if form != 0:
        raise ChangedError(
            "the ledger was written by another version", value=path, fix="update editloop"
        )
    opened.execute("PRAGMA journal_mode = WAL")
    with opened:
        opened.execute("BEGIN IMMEDIATE")
        opened.execute(_TABLE)
        opened.execute(f"PRAGMA user_version = {_FORMAT}")


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn SQLite's errors, and the disk's, into ours."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise BusyError(
                "another process holds the ledger", value=path, fix="wait until it ends"
            ) from error
        raise StoreError(
            f"cannot use the ledger: {error}", value=path, fix="check the disk, then run again"
        ) from error
    except sqlite3.DatabaseError as error:
        raise CorruptError(
            f"the ledger is damaged: {error}", value=path, fix="restore it, or move it away"
        ) from error
    except OSError as error:
        raise StoreError(f"cannot use the ledger: {error}", value=path, fix="check it") from error


def _digest(key: str, row: list[Any]) -> bytes:
    """Of all that is kept of a reply, with its key."""
    head = canonical_json([key, *row[1:]]).encode("utf-8")
    return hashlib.sha256(head + b"\n" + row[0]).digest()[:16]


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")


def _storable(value: Any) -> Any:
    """A value as SQLite holds it; names with lone surrogates are made plain."""
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


_SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("text", pa.string()),
        ("model", pa.string()),
        ("revision", pa.string()),
        ("finish_reason", pa.string()),
        ("input_tokens", pa.int64()),
        ("output_tokens", pa.int64()),
        ("cost", pa.float64()),
        ("seconds", pa.float64()),
    ]
)


def _table(rows: list[_Row]) -> pa.Table:
    columns: list[list[Any]] = [list(column) for column in zip(*rows, strict=True)]
    columns[1] = [_storable(_text(data)) for data in columns[1]]
    return pa.table(columns, schema=_SCHEMA)
