"""The samples of each step, as a function of the step, so that no state is needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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

    `prompts` is the prompt of each sample; an epoch then has one sample of each prompt (and size),
    drawn anew for each epoch, as in InstructPix2Pix's `edit_dataset.py`.
    """

    def __init__(
        self, buckets: Sequence[_Numbers], batch: int, seed: int, prompts: _Numbers | None = None
    ) -> None:
        self._buckets = tuple(_by_prompt(bucket, prompts) for bucket in buckets)
        self._batch = batch
        self._seed = seed
        self._batches = np.array([-(-len(bucket) // batch) for bucket in self._buckets])
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
        count, first = len(self._buckets[bucket]), index * self._batch
        passes = range(first // count, (first + self._batch - 1) // count + 1)
        start = first - passes[0] * count
        orders = np.concatenate([self._order_of(bucket, each) for each in passes])
        row: _Numbers = orders[start : start + self._batch]
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
        """Return the numbers of the samples of one pass over a bucket, in order."""
        place = (bucket,) if bucket else ()
        samples = self._buckets[bucket]
        order = generator(self._seed, "order", number, *place).permutation(len(samples))
        drawn = samples.drawn(generator(self._seed, "prompts", number, *place))
        return drawn[order]


@dataclass(frozen=True, slots=True, eq=False)
class _Samples:
    """A bucket's samples, sorted by prompt: the place of each prompt's first, and their number."""

    numbers: _Numbers
    firsts: _Numbers
    counts: _Numbers

    def __len__(self) -> int:
        return len(self.firsts)

    def drawn(self, random: np.random.Generator) -> _Numbers:
        """Return the number of one random sample of each prompt."""
        if len(self.firsts) == len(self.numbers):
            return self.numbers
        drawn: _Numbers = self.numbers[self.firsts + random.integers(self.counts)]
        return drawn


def _by_prompt(bucket: _Numbers, prompts: _Numbers | None) -> _Samples:
    if prompts is None:
        return _Samples(bucket, np.arange(len(bucket)), np.ones(len(bucket), np.int64))
    own = prompts[bucket]
    _, firsts, counts = np.unique(np.sort(own), return_index=True, return_counts=True)
    return _Samples(bucket[np.argsort(own, kind="stable")], firsts, counts)
