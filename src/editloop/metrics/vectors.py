"""A SQLite file of vectors by key, safe for several processes, with checksums."""

from __future__ import annotations

import sqlite3
import weakref
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from editloop.errors import BusyError, CorruptError, StoreError

__all__ = ["Table", "VectorFile"]

Table: TypeAlias = Literal["images", "texts"]

_ASKED = 500  # keys in one query; SQLite supports at least 999
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


class VectorFile:
    """A file of float32 vectors in two tables, `images` and `texts`; in memory without a path.

    Transactions are atomic, even if a process is killed. A vector that differs from what was
    written raises CorruptError. `patience` is the time in seconds to wait for another process's
    transaction.
    """

    def __init__(self, path: Path | None = None, *, patience: float = 60.0) -> None:
        self._path = path
        with self._explained():
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
            # One thread uses it, but any thread may garbage-collect, and so close, it.
            self._connection = sqlite3.connect(
                path or ":memory:", timeout=patience, check_same_thread=False
            )
            weakref.finalize(self, self._connection.close)
            with self._connection:
                for table in ("images", "texts"):
                    self._connection.execute(
                        f"CREATE TABLE IF NOT EXISTS {table} (key BLOB PRIMARY KEY, "
                        "vector BLOB NOT NULL, checksum INTEGER NOT NULL) WITHOUT ROWID"
                    )

    def read(self, table: Table, keys: Sequence[bytes]) -> dict[bytes, NDArray[np.float32]]:
        """Return the vectors of those keys that have one."""
        found: dict[bytes, NDArray[np.float32]] = {}
        for start in range(0, len(keys), _ASKED):
            asked = keys[start : start + _ASKED]
            marks = ",".join("?" * len(asked))
            with self._explained():
                rows = self._connection.execute(
                    f"SELECT key, vector, checksum FROM {table} WHERE key IN ({marks})", asked
                ).fetchall()
            found |= {key: self._vector(vector, checksum) for key, vector, checksum in rows}
        return found

    def write(self, table: Table, vectors: Mapping[bytes, NDArray[np.float32]]) -> None:
        """Add vectors in one transaction; a key that already has a vector keeps it."""
        rows = [
            (key, blob := vector.tobytes(), zlib.crc32(blob)) for key, vector in vectors.items()
        ]
        with self._explained(), self._connection:
            self._connection.executemany(f"INSERT OR IGNORE INTO {table} VALUES (?, ?, ?)", rows)

    def _vector(self, blob: bytes, checksum: int) -> NDArray[np.float32]:
        if zlib.crc32(blob) != checksum:
            raise self._damaged("a vector differs from what was written")
        return np.frombuffer(blob, np.float32)

    def _damaged(self, detail: str) -> CorruptError:
        return CorruptError(
            f"a cache of embeddings is damaged ({detail})",
            value=self._path,
            fix="delete the file; its content is then encoded again",
        )

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Convert errors of SQLite and of the system to ours."""
        try:
            yield
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode in _BUSY:
                raise BusyError(
                    "another process is writing to a cache of embeddings",
                    value=self._path,
                    fix="wait until it ends",
                ) from error
            raise StoreError(
                "cannot use a cache of embeddings", value=self._path, fix=str(error)
            ) from error
        except sqlite3.DatabaseError as error:
            raise self._damaged(str(error)) from error
        except OSError as error:
            raise StoreError(
                "cannot create a cache of embeddings", value=self._path, fix=str(error)
            ) from error
