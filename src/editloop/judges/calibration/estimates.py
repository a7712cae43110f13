"""Estimates with 95% intervals: means by the bootstrap, shares by Wilson's interval.

Pairs made from one edit are not independent, so they are resampled, or counted, together. Values
are rounded to a grid on which sums of doubles are exact, so results do not depend on the order of
summation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from editloop.schema import Json
from editloop.statistics.bootstrap import percentile_interval

__all__ = ["Floats", "estimate", "gridded", "mean_of", "rounded", "share_of"]

Floats = NDArray[np.float64]

_Z = 1.959964  # of the normal distribution, at 97.5%
_GRID = 2.0**14
_DIGITS = 6


def gridded(values: Floats) -> Floats:
    """Return values rounded to multiples of 2**-14."""
    return np.round(values * _GRID) / _GRID


def rounded(value: float) -> float:
    """Return a number rounded as in the results, without negative zero."""
    return round(float(value), _DIGITS) + 0.0


def estimate(value: float, replicates: Floats, count: int) -> Json:
    """Return an estimate from `count` cases with the replicates' interval; None if undefined."""
    bounds = percentile_interval(replicates)
    if bounds is None or not math.isfinite(value):
        return None
    low, high = bounds
    return {"mean": rounded(value), "low": rounded(low), "high": rounded(high), "count": count}


def mean_of(values: Floats, weights: Floats) -> Json:
    """Return the mean of the finite `values` [cases], with `weights` [resamples, cases]."""
    there = np.isfinite(values)
    if not there.any():
        return None
    exact = gridded(values[there])
    drawn = weights[:, there]
    with np.errstate(invalid="ignore", divide="ignore"):
        replicates = (drawn @ exact) / drawn.sum(axis=1)
    return estimate(float(exact.mean()), replicates, int(there.sum()))


def share_of(hits: Floats, groups: Sequence[str]) -> Json:
    """Return the share of hits (1; a miss is 0, a tie 0.5, NaN is left out) with Wilson's interval.

    The interval uses the effective number of cases (Kish, 1965), because cases of one group are
    similar. If all cases are alike that number cannot be estimated, and each group counts as one
    case. Unlike a bootstrap, the interval has a width even if every case is a hit.
    """
    there = np.isfinite(hits)
    count = int(there.sum())
    if not count:
        return None
    found = hits[there]
    share = float(found.mean())
    low, high = _wilson(
        share,
        _effective(
            found, share, [group for group, is_there in zip(groups, there, strict=True) if is_there]
        ),
    )
    return {"mean": rounded(share), "low": rounded(low), "high": rounded(high), "count": count}


def _effective(found: Floats, share: float, groups: Sequence[str]) -> float:
    """Return the effective number of cases, from the simple and the clustered variance."""
    names, index = np.unique(np.asarray(groups, dtype=object), return_inverse=True)
    excess = np.bincount(index, weights=found - share)
    spread = float((excess**2).sum())
    if len(names) < 2 or spread == 0:
        return float(len(names))
    clustered = len(names) / (len(names) - 1) * spread / len(found) ** 2
    simple = float(found.var(ddof=1)) / len(found)
    return len(found) * min(1.0, simple / clustered)


def _wilson(share: float, count: float) -> tuple[float, float]:
    """Return Wilson's score interval (1927) for a share of `count` cases."""
    centre = (share + _Z**2 / (2 * count)) / (1 + _Z**2 / count)
    half = math.sqrt(share * (1 - share) / count + _Z**2 / (4 * count**2)) * _Z
    half /= 1 + _Z**2 / count
    return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))
