"""Numbers with 95% intervals: means by the bootstrap, shares by Wilson's interval.

Pairs made of one edit are not independent, so they are drawn, or counted, together. Values are
rounded to a grid on which sums of doubles are exact: results do not depend on the order in which a
machine adds.
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
    """Values in multiples of 2**-14."""
    return np.round(values * _GRID) / _GRID


def rounded(value: float) -> float:
    """A number as results hold it; no negative zero."""
    return round(float(value), _DIGITS) + 0.0


def estimate(value: float, replicates: Floats, count: int) -> Json:
    """A number of `count` cases and the interval of its replicates; null where it is undefined."""
    bounds = percentile_interval(replicates)
    if bounds is None or not math.isfinite(value):
        return None
    low, high = bounds
    return {"mean": rounded(value), "low": rounded(low), "high": rounded(high), "count": count}


def mean_of(values: Floats, weights: Floats) -> Json:
    """The mean of what is there of `values` [cases]; `weights` [resamples, cases] bound it."""
    there = np.isfinite(values)
    if not there.any():
        return None
    exact = gridded(values[there])
    drawn = weights[:, there]
    with np.errstate(invalid="ignore", divide="ignore"):
        replicates = (drawn @ exact) / drawn.sum(axis=1)
    return estimate(float(exact.mean()), replicates, int(there.sum()))


def share_of(hits: Floats, groups: Sequence[str]) -> Json:
    """The share of hits (1; a miss is 0, a tie 0.5, NaN is left out), by Wilson's interval.

    Its number of cases is the effective one (Kish, 1965): cases of one group resemble each other.
    Where all cases are alike that cannot be seen, and groups count as one case each. Unlike a
    bootstrap it leaves room for what was not seen where every case is a hit.
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
    """How many independent cases would say as much, by the simple and the clustered variance."""
    names, index = np.unique(np.asarray(groups, dtype=object), return_inverse=True)
    excess = np.bincount(index, weights=found - share)
    spread = float((excess**2).sum())
    if len(names) < 2 or spread == 0:
        return float(len(names))
    clustered = len(names) / (len(names) - 1) * spread / len(found) ** 2
    simple = float(found.var(ddof=1)) / len(found)
    return len(found) * min(1.0, simple / clustered)


def _wilson(share: float, count: float) -> tuple[float, float]:
    """Wilson's score interval (1927) for a share of `count` cases."""
    centre = (share + _Z**2 / (2 * count)) / (1 + _Z**2 / count)
    half = math.sqrt(share * (1 - share) / count + _Z**2 / (4 * count**2)) * _Z
    half /= 1 + _Z**2 / count
    return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))
