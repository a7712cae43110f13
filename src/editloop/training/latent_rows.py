"""Files of fixed-size rows, written atomically, read through memory maps, and checked on read.

A row is one sample, or one flip of it, as a NumPy record whose first field is the CRC-32 of the
rest. So a damaged row is found before it is trained on, and opening a cache reads no rows. A
shard's file holds the rows of its samples grouped by size; its record, written last, lists them.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from editloop.errors import CorruptError
from editloop.schema import Json
from editloop.storage.files import Files, NewFile, explained, temporary
from editloop.storage.records import read_record, write_record
from editloop.training.buckets import Size

__all__ = ["Row", "Rows", "Shard", "checked", "row_type", "sealed", "write_rows"]

Row: TypeAlias = np.dtype[np.void]
Rows: TypeAlias = NDArray[np.void]

_CHECK = "check"


def row_type(fields: Mapping[str, tuple[str, tuple[int, ...]]]) -> Row:
    """Return the type of rows with these fields, each a NumPy dtype and a shape."""
    return np.dtype([(_CHECK, "<u4"), *((name, *each) for name, each in fields.items())])


def sealed(rows: Rows) -> Rows:
    """Fill in the rows' checksums in place, and return the rows."""
    rows[_CHECK] = [zlib.crc32(each) for each in _contents(rows)]
    return rows


def checked(rows: Rows, path: Path) -> Rows:
    """Return the rows if their checksums match; else raise CorruptError with the file's path."""
    for check, content in zip(rows[_CHECK], _contents(rows), strict=True):
        if zlib.crc32(content) != check:
            raise CorruptError(
                "a row of the training data's cache differs from what was written",
                value=path,
                fix="remove this file and run again: it is then rebuilt",
            )
    return rows


def _contents(rows: Rows) -> Iterable[memoryview]:
    """Return the bytes of each row after its checksum."""
    return (each[4:].data for each in rows.view(np.uint8).reshape(len(rows), -1))


def write_rows(files: Files, path: Path, tables: Iterable[Rows]) -> int:
    """Write tables of rows one after another, durably and atomically; return the file's size."""
    with explained("write the training data's cache", path):
        files.make_folder(path.parent)
        new = NewFile(files, temporary(path))
        try:
            for table in tables:
                new.write(table.tobytes())
            new.finish()
        finally:
            new.close()
        files.rename(new.path, path)
        files.sync_path(path.parent)
    return new.size


@dataclass(frozen=True, slots=True)
class Shard:
    """A file of rows grouped by size, and its record.

    `members` are the places in the shard of the samples of each size, in the order of their rows. A
    sample has `flips` rows: the picture, then its mirror image. `lost` is the number of samples
    whose edit lies mostly outside of the crop.
    """

    path: Path
    members: Mapping[Size, Sequence[int]]
    lost: int

    @classmethod
    def find(cls, path: Path) -> Shard | None:
        """Return the shard at a path, or None if it is missing or incomplete."""
        try:
            body = read_record(Files(), _record(path))
        except CorruptError:
            return None
        if body is None or not path.is_file() or path.stat().st_size != body["bytes"]:
            return None
        members = {(height, width): places for height, width, places in body["members"]}
        return cls(path, members, body["lost"])

    @staticmethod
    def write(
        files: Files,
        path: Path,
        members: Mapping[Size, Sequence[int]],
        tables: Mapping[Size, Sequence[Rows]],
        lost: int,
    ) -> None:
        """Write a shard: for each size, the places of its samples and their rows."""
        order = sorted(members)
        parts = (sealed(part) for size in order for part in tables[size])
        written = write_rows(files, path, parts)
        listed = [[*size, list(members[size])] for size in order]
        body: Json = {"bytes": written, "members": listed, "lost": lost}
        write_record(files, _record(path), body)

    def tables(self, kind: Callable[[Size], Row], flips: int) -> dict[Size, Rows]:
        """Return the memory-mapped rows of each size."""
        with explained("read the training data's cache", self.path):
            whole = np.memmap(self.path, np.uint8, mode="r")
        found: dict[Size, Rows] = {}
        offset = 0
        for size, places in self.members.items():
            end = offset + len(places) * flips * kind(size).itemsize
            found[size] = whole[offset:end].view(kind(size))
            offset = end
        return found


def _record(path: Path) -> Path:
    return path.with_suffix(".json")
