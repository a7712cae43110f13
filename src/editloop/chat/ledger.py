"""The ledger: every raw reply of a model is stored, so each call is billed once.

It is one SQLite file on a local disk, shared by runs, threads and processes. A reply is stored
under the key of its call (`requests.Call.key`); the first one is never replaced. A caller locks
the key first (`locks`), so that others with the same call wait for the reply. Each row has a
digest, so a flipped byte is detected and never read as an answer. API keys are never stored here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields
from itertools import accumulate
from pathlib import Path
from typing import Any

import pyarrow as pa

from editloop.chat.key_locks import KeyLocks
from editloop.errors import CorruptError
from editloop.schema import canonical_json
from editloop.storage.files import Files, explained, temporary
from editloop.storage.parquet import TableWriter
from editloop.storage.small_sqlite import Database, Row

__all__ = ["Ledger", "Reply"]

_EXPORTED = 1000  # replies per batch, at most
_EXPORTED_BYTES = 64_000_000  # of their texts, as one may be a picture
_TABLES = {
    "replies": """(
    key TEXT PRIMARY KEY, text BLOB NOT NULL, model TEXT NOT NULL, revision TEXT NOT NULL,
    finish_reason TEXT NOT NULL, input_tokens INTEGER, output_tokens INTEGER, cost REAL,
    seconds REAL NOT NULL, digest BLOB NOT NULL) WITHOUT ROWID"""
}


@dataclass(frozen=True, slots=True)
class Reply:
    """A raw reply: the unchanged text, and the facts the server reported.

    `model` and `revision` are as reported by the server, `cost` is in USD, `seconds` is the time
    of the request that succeeded. Tokens are None if the server did not count them.
    """

    text: str
    model: str = ""
    revision: str = ""
    finish_reason: str = ""
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost: float | None = None
    seconds: float = 0.0

    @property
    def cut(self) -> bool:
        """Whether the reply ended at the limit of its length."""
        return self.finish_reason == "length"


_COLUMNS = ", ".join(field.name for field in fields(Reply))


class Ledger:
    """The replies in one file, which is opened on first use.

    `locks` are locks on keys, held while a reply is fetched. After locking a key, look for its
    reply again, as it may have been stored in the meantime.

    Raises StoreError if the disk fails, BusyError if another process locks the file for long, and
    CorruptError if it is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._database = Database(path, _TABLES)
        self.locks = KeyLocks(path.with_name(f"{path.name}-claims"))

    def find(self, key: str) -> Reply | None:
        """Return the reply stored under a key, or None; raises CorruptError if it is damaged."""
        found = self._database.rows(f"SELECT {_COLUMNS}, digest FROM replies WHERE key = ?", (key,))
        if not found:
            return None
        *row, digest = found[0]
        if digest != _digest(key, row):
            raise CorruptError(
                "a reply in the ledger is damaged or was changed",
                value=f"{self.path}: {key}",
                fix="restore the file from a copy, or move it away to request its replies again",
            )
        return Reply(_text(row[0]), *row[1:])

    def keep(self, key: str, reply: Reply) -> Reply:
        """Store a reply; returns the stored one, which is the first under this key."""
        row = [_bytes(reply.text), *(_plain(value) for value in astuple(reply)[1:])]
        marks = ", ".join("?" * (len(row) + 2))
        self._database.rows(
            f"INSERT OR IGNORE INTO replies (key, {_COLUMNS}, digest) VALUES ({marks})",
            (key, *row, _digest(key, row)),
        )
        return self.find(key) or reply

    def count(self) -> int:
        """Return the number of stored replies."""
        return int(self._database.rows("SELECT count(*) FROM replies")[0][0])

    def export(self, path: Path) -> int:
        """Write all replies to a Parquet file, sorted by key; returns their number.

        Lone surrogates, which Parquet cannot store, are written as backslash escapes.
        """
        files = Files()
        hidden = temporary(path)
        with explained("export the ledger", path):
            files.make_folder(path.parent)
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
        """Close the file; the next use opens it again."""
        self.locks.close()
        self._database.close()

    def _pages(self) -> Iterator[list[Row]]:
        last = ""
        sizes = f"SELECT length(text) FROM replies WHERE key > ? ORDER BY key LIMIT {_EXPORTED}"
        query = f"SELECT key, {_COLUMNS} FROM replies WHERE key > ? ORDER BY key LIMIT ?"
        while found := self._database.rows(sizes, (last,)):
            below = sum(total <= _EXPORTED_BYTES for total in accumulate(size for (size,) in found))
            rows = self._database.rows(query, (last, max(1, below)))
            last = rows[-1][0]
            yield rows


def _digest(key: str, row: list[Any]) -> bytes:
    """Return the digest of a stored reply and its key."""
    head = canonical_json([key, *row[1:]]).encode()
    return hashlib.sha256(head + b"\n" + row[0]).digest()[:16]


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")


def _plain(value: Any) -> Any:
    """Return a value that any column can store: lone surrogates in text are escaped."""
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


def _table(rows: list[Row]) -> pa.Table:
    columns: list[list[Any]] = [list(column) for column in zip(*rows, strict=True)]
    columns[1] = [_plain(_text(data)) for data in columns[1]]
    return pa.table(columns, schema=_SCHEMA)
