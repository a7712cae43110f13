"""The samples of each step, as a function of the step, so that no state is needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from editloop.runtime.seeding import derive_seed
from editloop.runtime.shuffling import hashed, shuffled

__all__ = ["BatchOrder"]

_Numbers = NDArray[np.int64]


class BatchOrder:
    """The order of batches, in each of which all pictures have one size.

    `buckets` are the numbers of the samples of each size. In an epoch, each bucket gives as many
    batches as are needed for all of its samples, and the batches of all buckets are shuffled. A
    bucket's samples form an endless sequence, shuffled anew for each epoch, so every batch is full.
    A step's time and memory do not depend on the number of samples.

    `prompts` is the prompt of each sample; an epoch then has one sample of each prompt (and size),
    drawn anew for each epoch, as in InstructPix2Pix's `edit_dataset.py`.
    """

    def __init__(
        self, buckets: Sequence[_Numbers], batch: int, seed: int, prompts: _Numbers | None = None
    ) -> None:
        self._buckets = tuple(_by_prompt(bucket, prompts) for bucket in buckets)
        self._batch = batch
        self._seed = seed
        batches = [-(-len(bucket) // batch) for bucket in self._buckets]
        self._ends = np.cumsum(batches)  # in an epoch, buckets one after another

    def at(self, step: int) -> _Numbers:
        """Return the numbers [batch] of the samples of a step."""
        epoch, place = divmod(step, int(self._ends[-1]))
        if len(self._buckets) > 1:
            places = np.array([place])
            (place,) = shuffled(places, int(self._ends[-1]), self._seed, "buckets", epoch).tolist()
        bucket = int(np.searchsorted(self._ends, place, "right"))
        start = int(self._ends[bucket - 1]) if bucket else 0
        batches = int(self._ends[bucket]) - start
        return self._row(bucket, epoch * batches + place - start)

    def _row(self, bucket: int, index: int) -> _Numbers:
        """Return batch number `index` of a bucket's endless sequence."""
        samples, first = self._buckets[bucket], index * self._batch
        passes, places = np.divmod(np.arange(first, first + self._batch), len(samples))
        row = np.empty(self._batch, np.int64)
        for each in np.unique(passes).tolist():
            seed = (self._seed, "order", bucket, each)
            own = passes == each
            row[own] = samples.drawn(shuffled(places[own], len(samples), *seed), *seed)
        return row


@dataclass(frozen=True, slots=True, eq=False)
class _Samples:
    """A bucket's samples, sorted by prompt: the place of each prompt's first, and their number.

    Without prompts, `firsts` and `counts` are None.
    """

    numbers: _Numbers
    firsts: _Numbers | None = None
    counts: _Numbers | None = None

    def __len__(self) -> int:
        return len(self.numbers if self.firsts is None else self.firsts)

    def drawn(self, places: _Numbers, *seed: str | int) -> _Numbers:
        """Return the number of one random sample of the prompt at each place."""
        if self.firsts is None or self.counts is None:
            return self.numbers[places]
        random = hashed(places, np.uint64(derive_seed("prompts", *seed)))
        chosen = random % self.counts[places].astype(np.uint64)
        return self.numbers[self.firsts[places] + chosen.astype(np.int64)]


def _by_prompt(bucket: _Numbers, prompts: _Numbers | None) -> _Samples:
    if prompts is None:
        return _Samples(bucket)
    own = prompts[bucket]
    _, firsts, counts = np.unique(np.sort(own), return_index=True, return_counts=True)
    return _Samples(bucket[np.argsort(own, kind="stable")], firsts, counts)
