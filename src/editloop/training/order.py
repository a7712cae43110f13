"""The samples of each step, as a function of the step, so that no state is needed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from editloop.runtime.seeding import generator

__all__ = ["BatchOrder"]

_Numbers = NDArray[np.int64]


class BatchOrder:
    """The order of batches, in each of which all pictures have one size.

    `buckets` are the numbers of the samples of each size. In an epoch, each bucket gives as many
    batches as are needed for all of its samples, and the batches of all buckets are shuffled. A
    bucket's samples form an endless sequence, shuffled anew for each epoch, so every batch is full.
    """

    def __init__(self, buckets: Sequence[_Numbers], batch: int, seed: int) -> None:
        self._buckets = tuple(buckets)
        self._batch = batch
        self._seed = seed
        self._batches = np.array([-(-len(bucket) // batch) for bucket in buckets])
        self._plan_of = lru_cache(maxsize=2)(self._planned)
        self._order_of = lru_cache(maxsize=2 * len(buckets))(self._ordered)

    def at(self, step: int) -> _Numbers:
        """Return the numbers [batch] of the samples of a step."""
        number, place = divmod(step, int(self._batches.sum()))
        planned = self._plan_of(number)
        bucket = int(planned[place])
        earlier = int((planned[:place] == bucket).sum())
        return self._row(bucket, number * int(self._batches[bucket]) + earlier)

    def _row(self, bucket: int, index: int) -> _Numbers:
        """Return batch number `index` of a bucket's endless sequence."""
        numbers = self._buckets[bucket]
        count, first = len(numbers), index * self._batch
        passes = range(first // count, (first + self._batch - 1) // count + 1)
        start = first - passes[0] * count
        orders = np.concatenate([self._order_of(bucket, each) for each in passes])
        row: _Numbers = numbers[orders[start : start + self._batch]]
        return row

    def _planned(self, number: int) -> _Numbers:
        """Return the bucket of each batch of an epoch, in order."""
        each = np.repeat(np.arange(len(self._buckets)), self._batches)
        return (
            each
            if len(self._buckets) == 1
            else generator(self._seed, "buckets", number).permutation(each)
        )

    def _ordered(self, bucket: int, number: int) -> _Numbers:
        place = (bucket,) if bucket else ()
        return generator(self._seed, "order", number, *place).permutation(
            len(self._buckets[bucket])
        )
