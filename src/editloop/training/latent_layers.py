"""One layer of the latent cache: the rows of all shards, by sample number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from editloop.training.buckets import Size
from editloop.training.latent_rows import Row, Rows, Shard, checked

__all__ = ["Layer"]

_OPEN = 32  # mapped files; each holds a descriptor, and many systems allow a process 256 or 1024


class Layer:
    """The rows of shards of `per` samples each; `kind` gives the row type of a size.

    It takes some 14 bytes of memory per sample. A shard's file is mapped when it is read; only the
    most recent ones stay mapped.
    """

    def __init__(
        self, shards: Sequence[Shard], per: int, kind: Callable[[Size], Row], flips: int
    ) -> None:
        self.lost = sum(shard.lost for shard in shards)
        self.sizes = tuple(sorted({size for shard in shards for size in shard.members}))
        self._per = per
        self._kind = kind
        self._flips = flips
        self._shards = tuple(shards)
        self._mapped = lru_cache(maxsize=_OPEN)(self._map)
        counts = [sum(map(len, shard.members.values())) for shard in shards]
        self._size = np.zeros(sum(counts), np.int16)
        self._place = np.zeros(sum(counts), np.int32)
        for number, shard in enumerate(shards):
            for size, places in shard.members.items():
                numbers = number * per + np.array(places)
                self._size[numbers] = self.sizes.index(size)
                self._place[numbers] = np.arange(len(places))

    @property
    def buckets(self) -> tuple[NDArray[np.int64], ...]:
        """The numbers of the samples of each size, in the order of `sizes`."""
        return tuple(np.flatnonzero(self._size == at) for at in range(len(self.sizes)))

    def size_of(self, number: int) -> Size:
        """Return the size of a sample's pictures."""
        return self.sizes[self._size[number]]

    def read(self, numbers: Sequence[int], flips: Sequence[int]) -> Rows:
        """Return the rows of samples of one size; a flip of 1 gives the mirror image.

        Raises CorruptError if a row differs from what was written.
        """
        size = self.size_of(numbers[0])
        rows = np.empty(len(numbers), self._kind(size))
        for at, (number, flip) in enumerate(zip(numbers, flips, strict=True)):
            place = int(self._place[number]) * self._flips + flip
            rows[at : at + 1] = self._mapped(number // self._per)[size][place : place + 1]
            checked(rows[at : at + 1], self._shards[number // self._per].path)
        return rows

    def _map(self, shard: int) -> dict[Size, Rows]:
        return self._shards[shard].tables(self._kind, self._flips)
