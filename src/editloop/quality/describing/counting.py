"""Counters whose memory does not grow with the data set."""

from __future__ import annotations

import tempfile
import weakref
from collections import Counter
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from editloop.kernel.book import storable
from editloop.kernel.shard_plan import short_hash

__all__ = ["Frequent", "UniqueTexts"]

_Value = TypeVar("_Value", bound=Hashable)

_MOST = 20_000  # different values that a counter tells apart
_SLICE = 1_000_000  # hashes in memory at a time
_ROW = np.dtype([("group", "u1"), ("hash", "<u8")])


class Frequent(Generic[_Value]):
    """Counts values; those first met after many different ones are counted together."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._counts: Counter[_Value] = Counter()
        self._others = 0

    def add(self, value: _Value) -> None:
        """Count a value."""
        if value in self._counts or len(self._counts) < self._most:
            self._counts[value] += 1
        else:
            self._others += 1

    @property
    def total(self) -> int:
        """The number of values counted."""
        return self._counts.total() + self._others

    def top(self, number: int | None = None) -> list[tuple[_Value, int]]:
        """Return the most frequent values with their counts, ties in the order of their text."""
        ranked = sorted(self._counts.items(), key=lambda each: (-each[1], str(each[0])))
        return ranked[:number]


class UniqueTexts:
    """Counts the different texts of up to 256 groups, by hashes of 64 bits in a temporary file."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed with this object
        weakref.finalize(self, self._file.close)
        self._rows = 0

    def add(self, group: int, text: str) -> None:
        """Add a text of a group."""
        self._file.write(bytes((group,)) + short_hash(storable(text)).to_bytes(8, "little"))
        self._rows += 1

    def counts(self, groups: int) -> list[int]:
        """Return the number of different texts of each group."""
        slices = -(-self._rows // _SLICE)
        found = np.zeros(groups, np.int64)
        for part in range(slices):
            rows = np.unique(np.concatenate(list(self._chosen(part, slices))))
            found += np.bincount(rows["group"], minlength=groups)
        counts: list[int] = found.tolist()
        return counts

    def _chosen(self, part: int, slices: int) -> Iterator[NDArray[np.void]]:
        """Yield the different rows in one slice of all hashes, some of them repeatedly."""
        self._file.seek(0)
        while len(read := self._file.read(_ROW.itemsize * _SLICE)):
            rows = np.frombuffer(read, _ROW)
            yield np.unique(rows[rows["hash"] % slices == part])
