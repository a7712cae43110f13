"""Random permutations that are computed place by place, so they take no memory."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from editloop.runtime.seeding import generator

__all__ = ["hashed", "shuffled"]

_ROUNDS = 64
_Numbers = NDArray[np.int64]


def shuffled(places: _Numbers, count: int, *seed: str | int) -> _Numbers:
    """Return the numbers at some places of a random order of 0 to `count` - 1.

    The order depends on the seed only. It is the swap-or-not shuffle (Hoang, Morris and Rogaway,
    2012): each round pairs all numbers, and swaps a pair or not by a hash.
    """
    random = generator("shuffled", *seed)
    sums = random.integers(count, size=_ROUNDS)
    keys = random.integers(2**64, size=_ROUNDS, dtype=np.uint64)
    numbers = np.asarray(places, np.int64)
    for total, key in zip(sums.tolist(), keys, strict=True):
        partners = (total - numbers) % count
        swapped = hashed(np.maximum(numbers, partners), key) >> np.uint64(63)
        numbers = np.where(swapped.astype(bool), partners, numbers)
    return numbers


def hashed(numbers: _Numbers, key: np.uint64) -> NDArray[np.uint64]:
    """Return 64 random bits for each number, by the finaliser of SplitMix64 (Steele, 2014)."""
    bits = numbers.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + key
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))
