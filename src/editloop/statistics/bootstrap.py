"""The bootstrap (Efron, 1979): resampling weights and percentile intervals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy

import numpy as np
from numpy.typing import NDArray

__all__ = ["PERCENTILES", "Resamples", "bootstrap_weights", "percentile_interval"]

PERCENTILES = (2.5, 97.5)  # the bounds of a 95% interval
_BLOCK = 2**23  # weights in memory at a time, 8 bytes each


class Resamples:
    """How often each resample draws each case, in blocks of resamples that fit in memory.

    Cases of one group (the turns of a session, the variants of an edit) are drawn together; each
    resample draws as many groups as there are. The weights do not depend on the blocks' size.
    """

    def __init__(self, groups: Sequence[str], resamples: int, rng: np.random.Generator) -> None:
        names, self._index = np.unique(np.asarray(groups, dtype=object), return_inverse=True)
        self._shares = np.full(len(names), 1 / len(names))
        self._resamples = resamples
        self._rng = rng
        self._whole: NDArray[np.float64] | None = None
        if resamples * len(groups) <= _BLOCK:
            self._whole = self._drawn(rng, resamples)

    def blocks(self) -> Iterator[NDArray[np.float64]]:
        """Yield the weights of all resamples in order: integers, [some resamples, cases]."""
        if self._whole is not None:
            yield self._whole
            return
        rng, most = deepcopy(self._rng), max(1, _BLOCK // len(self._index))
        for start in range(0, self._resamples, most):
            yield self._drawn(rng, min(most, self._resamples - start))

    def _drawn(self, rng: np.random.Generator, resamples: int) -> NDArray[np.float64]:
        draws = rng.multinomial(len(self._shares), self._shares, size=resamples)
        return draws[:, self._index].astype(np.float64)


def bootstrap_weights(
    groups: Sequence[str], resamples: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return the weights of `Resamples` at once, [resamples, cases]: for thousands of cases."""
    return np.concatenate(list(Resamples(groups, resamples, rng).blocks()))


def percentile_interval(replicates: NDArray[np.float64]) -> tuple[float, float] | None:
    """Return the 2.5th and 97.5th percentile of the finite replicates; None without any."""
    kept = replicates[np.isfinite(replicates)]
    if not len(kept):
        return None
    low, high = np.percentile(kept, PERCENTILES)
    return float(low), float(high)
