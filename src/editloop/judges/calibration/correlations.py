"""Pearson's, Spearman's and Kendall's correlation, vectorised over bootstrap resamples.

A resample is given as the number of times that each case is drawn. Its coefficient is weighted by
these counts, and equals that of a list in which each case is repeated as often as it was drawn.
"""

from __future__ import annotations

import numpy as np

from editloop.judges.calibration.estimates import Floats, estimate, gridded
from editloop.schema import Json

__all__ = ["correlations", "kendall", "pearson", "spearman"]

_BLOCK = 256  # cases that are compared with all others at a time
_FEWEST = 3  # two cases always lie on a line


def correlations(first: Floats, second: Floats, weights: Floats) -> dict[str, Json]:
    """Return each coefficient of the cases that have both numbers; None if a side is constant."""
    there = np.isfinite(first) & np.isfinite(second)
    if there.sum() < _FEWEST:
        return dict.fromkeys(("pearson", "spearman", "kendall"))
    x, y = first[there], second[there]
    drawn = np.vstack([np.ones(len(x)), weights[:, there]])  # the sample itself comes first
    found = {
        "pearson": pearson(x, y, drawn),
        "spearman": spearman(x, y, drawn),
        "kendall": kendall(x, y, drawn),
    }
    return {name: estimate(values[0], values[1:], len(x)) for name, values in found.items()}


def pearson(x: Floats, y: Floats, weights: Floats) -> Floats:
    """Return Pearson's r in each resample; x and y are [cases], or [resamples, cases]."""
    x, y = gridded(x - gridded(x.mean())), gridded(y - gridded(y.mean()))
    total = weights.sum(axis=1)
    sums = {name: (weights * each).sum(axis=1) for name, each in (("x", x), ("y", y))}
    covariance = total * (weights * x * y).sum(axis=1) - sums["x"] * sums["y"]
    first = total * (weights * x * x).sum(axis=1) - sums["x"] ** 2
    second = total * (weights * y * y).sum(axis=1) - sums["y"] ** 2
    return _ratio(covariance, first, second)


def spearman(x: Floats, y: Floats, weights: Floats) -> Floats:
    """Return Spearman's rho: Pearson's r of the ranks; ties share their mean rank."""
    return pearson(_ranks(x, weights), _ranks(y, weights), weights)


def kendall(x: Floats, y: Floats, weights: Floats) -> Floats:
    """Return Kendall's tau-b: (concordant - discordant) / sqrt(pairs untied in x * in y)."""
    totals = np.zeros((3, len(weights)))
    for start in range(0, len(x), _BLOCK):
        some = slice(start, start + _BLOCK)
        one, two = (np.sign(each[some, None] - each).astype(np.float32) for each in (x, y))
        for at, product in enumerate((one * two, one * one, two * two)):
            partners = weights.astype(np.float32) @ product.T  # whole numbers: exact
            totals[at] += (weights[:, some] * partners).sum(axis=1)
    return _ratio(*totals)


def _ranks(values: Floats, weights: Floats) -> Floats:
    """Return the rank of each case in each resample: [resamples, cases]."""
    different, place = np.unique(values, return_inverse=True)
    drawn = weights @ (place[:, None] == np.arange(len(different)))  # whole numbers: exact
    below = np.cumsum(drawn, axis=1) - drawn
    ranks: Floats = (below + (drawn + 1) / 2)[:, place]
    return ranks


def _ratio(shared: Floats, first: Floats, second: Floats) -> Floats:
    """Return shared / sqrt(first * second); NaN if one of the two does not vary."""
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Floats = shared / np.sqrt(first * second)
    found[(first <= 0) | (second <= 0)] = np.nan
    return found
