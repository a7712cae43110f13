"""Whether a judge says the same again: in repeats now, and of pairs that were scored before.

Judges behind an address change without a word; the same pictures judged months apart have come out
half a point of ten apart. All scores are in points of 100.
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
    """How much verdicts on the same pairs differ between rounds, a perspective at a time.

    `spread` is the standard deviation of a pair's scores, averaged over pairs; `same` the share of
    pairs whose scores are all equal; `flips` that of pairs judged yes and no; `range` how far apart
    the rounds' means lie. Pairs without a score in some round are left out, and counted.
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
    """Of columns [rounds, pairs]."""
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
    """How verdicts on the same pairs changed, for the perspectives that both have.

    `change` is the mean of now less then; `moved` says that its interval leaves out zero. `away` is
    the mean distance, `same` the share of equal scores, `flips` that of another yes or no.
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
    """1 for a hit, 0 for a miss, NaN where there is neither."""
    return np.where(there, np.asarray(hits, np.float64), np.nan)
