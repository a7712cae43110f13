"""Samples of a published split by number, read from its Parquet files on demand."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from editloop.errors import StoreError
from editloop.schema import EditSample
from editloop.storage.files import explained
from editloop.storage.parquet import read_batches, read_footer
from editloop.storage.samples import from_row, published_files, required_columns

__all__ = ["PublishedRows", "RowReader"]

_PICTURES = ("source", "target", "mask")
_PROMPT = ("instruction", "source_caption", "target_caption")
_EMPTY = {"source": {"bytes": b"", "path": None}, "target": None, "mask": None}
_REFERENCES = "references.list.element.path"
_HELD = 8  # cached row groups, of at most 64 MB each
_IDS = 10_000  # read at a time
_Group: TypeAlias = tuple[Path, int, int, int]  # file, row group, its first row's number, rows


@dataclass(frozen=True, slots=True)
class PublishedRows:
    """The rows of a split's files in order; `counts` are the sizes of each file's row groups."""

    paths: tuple[Path, ...]
    counts: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, data: Path, split: str) -> PublishedRows:
        """Return the rows of a published split; raise StoreError if a file or column is missing."""
        paths = tuple(published_files(Path(data), split))
        return cls(paths, tuple(map(_counts, paths)))

    @classmethod
    def joined(cls, parts: Sequence[PublishedRows]) -> PublishedRows:
        """Return the rows of several splits, one split after another."""
        paths = tuple(path for part in parts for path in part.paths)
        return cls(paths, tuple(count for part in parts for count in part.counts))

    def __len__(self) -> int:
        return sum(map(sum, self.counts))

    def stream(self, start: int, stop: int, *, pictures: bool = True) -> Iterator[EditSample]:
        """Yield samples from number `start` up to `stop`; without `pictures`, those are empty."""
        columns = None
        if not pictures:
            columns = [name for name in required_columns() if name not in _PICTURES]
        for path, group, first, count in self.groups():
            if first < stop and start < first + count:
                batch = pa.Table.from_batches(_batches(path, group, columns))
                low, high = max(start - first, 0), min(stop - first, count)
                for row in batch.slice(low, high - low).to_pylist():
                    yield from_row(row if pictures else {**row, **_EMPTY})

    def without(self, picture: str) -> Iterator[str]:
        """Yield the ids of samples without this picture ("target"); no pictures are read."""
        for path in self.paths:
            with explained("read a data set", path), path.open("rb") as handle:
                for batch in read_batches(handle, path, ["id", f"{picture}.path"], _IDS):
                    lacking = batch.filter(batch.column(picture).is_null())
                    yield from lacking.column("id").to_pylist()

    def with_references(self) -> int:
        """Return the number of samples that have references; no pictures are read."""
        count = 0
        for path in self.paths:
            with explained("read a data set", path), path.open("rb") as handle:
                for batch in read_batches(handle, path, ["id", _REFERENCES], _IDS):
                    if "references" in batch.schema.names:
                        lengths = pc.list_value_length(batch.column("references"))
                        count += pc.sum(pc.greater(lengths, 0)).as_py() or 0
        return count

    def prompts(self) -> NDArray[np.int64]:
        """Return the number of each sample's prompt: its instruction and captions.

        Prompts are told apart by 128 bits of a hash, so it takes no memory for texts.
        """
        found = bytearray()
        for path in self.paths:
            with explained("read a data set", path), path.open("rb") as handle:
                for batch in read_batches(handle, path, list(_PROMPT), _IDS):
                    texts = (batch.column(name).to_pylist() for name in _PROMPT)
                    for prompt in zip(*texts, strict=True):
                        found += blake2b(json.dumps(prompt).encode(), digest_size=16).digest()
        digests = np.frombuffer(found, np.dtype([("first", "<u8"), ("second", "<u8")]))
        numbers: NDArray[np.int64] = np.unique(digests, return_inverse=True)[1]
        return numbers

    def masks(self) -> Iterator[tuple[str, bytes | None]]:
        """Yield each sample's id and its mask's bytes, if it has one; no other picture is read."""
        for path in self.paths:
            with explained("read a data set", path), path.open("rb") as handle:
                for batch in read_batches(handle, path, ["id", "mask"]):
                    for row in batch.to_pylist():
                        yield row["id"], None if row["mask"] is None else row["mask"]["bytes"]

    def groups(self) -> Iterator[_Group]:
        """Yield the row groups of all files in order."""
        first = 0
        for path, counts in zip(self.paths, self.counts, strict=True):
            for group, count in enumerate(counts):
                yield path, group, first, count
                first += count


class RowReader:
    """Random access to samples; the most recently read row groups are cached in memory."""

    def __init__(self, rows: PublishedRows) -> None:
        self._groups = list(rows.groups())
        self._firsts = np.array([first for _, _, first, _ in self._groups])
        self._table = lru_cache(maxsize=_HELD)(_table)

    def read(self, numbers: Sequence[int]) -> list[EditSample]:
        """Return the samples of these numbers; a row group is read once for all of them."""
        found: dict[int, EditSample] = {}
        for number in sorted(set(numbers)):
            at = int(np.searchsorted(self._firsts, number, "right")) - 1
            path, group, first, _ = self._groups[at]
            row = self._table(path, group).slice(number - first, 1).to_pylist()[0]
            found[number] = from_row(row)
        return [found[number] for number in numbers]


def _counts(path: Path) -> tuple[int, ...]:
    with explained("read a data set", path):
        facts = read_footer(path)
    _check_columns(path, facts.schema.to_arrow_schema().names)
    return tuple(facts.row_group(at).num_rows for at in range(facts.num_row_groups))


def _check_columns(path: Path, names: Sequence[str]) -> None:
    absent = [name for name in required_columns() if name not in names]
    if absent:
        raise StoreError(
            "a data set's file lacks columns of the sample schema",
            value=f"{path}: {', '.join(absent)}",
            fix="make it with `editloop run`, or from its tables with `editloop import table`",
        )


def _table(path: Path, group: int) -> pa.Table:
    return pa.Table.from_batches(_batches(path, group, None))


def _batches(path: Path, group: int, columns: list[str] | None) -> list[pa.RecordBatch]:
    with explained("read a data set", path), path.open("rb") as handle:
        return list(read_batches(handle, path, columns, groups=[group]))
