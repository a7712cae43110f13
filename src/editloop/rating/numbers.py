"""Numbers of `ranking.json`: rounding, Krippendorff's alpha with its interval, or a reason."""

from __future__ import annotations

import numpy as np

from editloop.rating.agreement import Level, krippendorff_alpha, resampled_alpha
from editloop.rating.davidson import Floats
from editloop.schema import Json
from editloop.statistics.bootstrap import bootstrap_weights, percentile_interval

__all__ = ["RESAMPLES", "alpha_of", "rounded"]

RESAMPLES = 400


def rounded(value: float | np.floating) -> float:
    """Return a number rounded as in the results, without negative zero."""
    return round(float(value), 6) + 0.0


def alpha_of(
    counts: Floats,
    level: Level,
    items: list[str],
    rng: np.random.Generator,
    values: Floats | None = None,
) -> dict[str, Json]:
    """Return alpha of answers [units, categories] with its 95% interval by a bootstrap over items.

    `items` [units] are resampled whole. A reason stands for alpha where it is not defined.
    """
    names, groups = np.unique(items, return_inverse=True)
    weights = bootstrap_weights(list(names), RESAMPLES, rng)
    shared = int((counts.sum(axis=1) > 1).sum())
    about = {"level": level, "units": len(counts), "shared_units": shared}
    alpha = krippendorff_alpha(counts, level, values)
    bounds = percentile_interval(resampled_alpha(counts, level, groups, weights, values))
    if bounds is None or not np.isfinite(alpha):
        reason = "all answers are the same" if shared else "no item was answered by two raters"
        return {"alpha": None, "reason": reason, **about}
    low, high = map(rounded, bounds)
    return {"alpha": rounded(alpha), "low": low, "high": high, **about}
