"""Stability of a judge: repeatability now, and drift since an earlier calibration.

Models on a server can change without notice; the same pictures judged months apart have differed by
half a point of ten. All scores are in points of 100.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike

from editloop.judges.calibration.asking import Judged
from editloop.judges.calibration.estimates import Floats, mean_of, rounded, share_of
from editloop.schema import Json
from editloop.statistics.bootstrap import bootstrap_weights

__all__ = ["drift", "repeatability"]

_T = TypeVar("_T")


def repeatability(
    rounds: Sequence[Judged[_T]], edits: Sequence[str], resamples: int, rng: np.random.Generator
) -> dict[str, Json]:
    """Return how much verdicts on the same pairs differ between rounds, by perspective.

    `spread` is the standard deviation of a pair's scores, averaged over pairs; `same` the share of
    pairs whose scores are all equal; `flips` that of pairs judged both yes and no; `range` the
    difference of the rounds' largest and smallest mean. Pairs without a score in some round are
    left out, and counted.
    """
    weights = bootstrap_weights(edits, resamples, rng)
    return {
        name: _repeats(
            np.array([each.points[name] for each in rounds]),
            np.array([each.passed[name] for each in rounds]),
            edits,
            weights,
        )
        for name in rounds[0].perspectives
    }


def _repeats(
    points: Floats, passed: Floats, edits: Sequence[str], weights: Floats
) -> dict[str, Json]:
    """Return one perspective's numbers from columns [rounds, pairs]."""
    whole = np.isfinite(points).all(axis=0)
    means = points[:, whole].mean(axis=1) if whole.any() else None
    return {
        "spread": mean_of(np.where(whole, points.std(axis=0, ddof=1), np.nan), weights),
        "same": share_of(_where(whole, (points == points[0]).all(axis=0)), edits),
        "flips": share_of(
            _where(np.isfinite(passed).all(axis=0), (passed != passed[0]).any(axis=0)), edits
        ),
        "range": None if means is None else rounded(float(means.max() - means.min())),
        "left_out": int((~whole).sum()),
    }


def drift(
    then: Judged[_T],
    now: Judged[_T],
    edits: Sequence[str],
    resamples: int,
    rng: np.random.Generator,
) -> dict[str, Json]:
    """Return how verdicts on the same pairs changed, for the perspectives that both have.

    `change` is the mean of now minus then; `moved` is true if its interval excludes zero. `away` is
    the mean absolute change, `same` the share of equal scores, `flips` that of a changed yes or no.
    """
    weights = bootstrap_weights(edits, resamples, rng)
    return {
        name: _drifted(
            (then.points[name], now.points[name]),
            (then.passed[name], now.passed[name]),
            edits,
            weights,
        )
        for name in now.perspectives
        if name in then.points
    }


def _drifted(
    points: tuple[Floats, Floats],
    passed: tuple[Floats, Floats],
    edits: Sequence[str],
    weights: Floats,
) -> dict[str, Json]:
    (before, after), (said, says) = points, passed
    change = mean_of(after - before, weights)
    both = np.isfinite(after - before)
    return {
        "then": mean_of(np.where(both, before, np.nan), weights),
        "now": mean_of(np.where(both, after, np.nan), weights),
        "change": change,
        "moved": change is not None and (change["low"] > 0 or change["high"] < 0),
        "away": mean_of(np.abs(after - before), weights),
        "same": share_of(_where(both, after == before), edits),
        "flips": share_of(_where(np.isfinite(said + says), said != says), edits),
        "left_out": int((~both).sum()),
    }


def _where(there: ArrayLike, hits: ArrayLike) -> Floats:
    """Return 1 for a hit, 0 for a miss, NaN if there is neither."""
    return np.where(there, np.asarray(hits, np.float64), np.nan)
