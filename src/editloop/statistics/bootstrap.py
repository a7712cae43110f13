"""The bootstrap (Efron, 1979): resampling weights and percentile intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["PERCENTILES", "bootstrap_weights", "percentile_interval"]

PERCENTILES = (2.5, 97.5)  # the bounds of a 95% interval


def bootstrap_weights(
    groups: Sequence[str], resamples: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return how often each resample draws each case: integers, [resamples, cases].

    Cases of one group (the turns of a session, the variants of an edit) are drawn together; each
    resample draws as many groups as there are.
    """
    names, index = np.unique(np.asarray(groups, dtype=object), return_inverse=True)
    draws = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=resamples)
    return draws[:, index].astype(np.float64)


def percentile_interval(replicates: NDArray[np.float64]) -> tuple[float, float] | None:
    """Return the 2.5th and 97.5th percentile of the finite replicates; None without any."""
    kept = replicates[np.isfinite(replicates)]
    if not len(kept):
        return None
    low, high = np.percentile(kept, PERCENTILES)
    return float(low), float(high)
