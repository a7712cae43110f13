"""Means of single ratings with two-way intervals, and the agreement of raters and judges."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from editloop.errors import RecipeError
from editloop.rating.davidson import Floats
from editloop.rating.numbers import RESAMPLES, alpha_of, rounded
from editloop.rating.uncertainty import two_way_mean
from editloop.rating.vote_warnings import FEW_RATERS
from editloop.rating.votes import Rating
from editloop.schema import Json
from editloop.statistics.bootstrap import bootstrap_weights, percentile_interval

__all__ = ["in_points", "judge_correlation", "mean_ratings", "points_of_100"]


def points_of_100(value: float, levels: tuple[float, float]) -> float:
    """Return a level on HQ-Edit's scale of 0 to 100; `levels` are the worst and the best one.

    It is 100 (value - worst) / (best - worst) (arXiv:2404.09990, section 4.2). Raises ValueError
    for a value that is not between them.
    """
    low, high = levels
    if not (math.isfinite(value) and low <= value <= high):
        raise ValueError(f"{value:g} is not in {low:g} to {high:g}")
    return 100 * (value - low) / (high - low)


def in_points(ratings: Sequence[Rating], levels: tuple[float, float]) -> list[Rating]:
    """Return ratings on the scale of 0 to 100; RecipeError for one that is not on the levels."""
    found = []
    for rating in ratings:
        try:
            found.append(replace(rating, value=points_of_100(rating.value, levels)))
        except ValueError as error:
            where = f"{rating.rater!r} rates {rating.item!r} of {rating.editor!r}"
            raise RecipeError(f"{where}: {error}", fix="give the levels of the scale") from None
    return found


def mean_ratings(ratings: Sequence[Rating], rng: np.random.Generator) -> dict[str, Json]:
    """Return the parts of `ranking.json` for the ratings of one question, and `warnings` by code.

    Intervals are clustered by item and by rater. Alpha is ordinal; its units are an editor's result
    for an item.
    """
    by_editor: dict[str, list[Rating]] = defaultdict(list)
    for rating in ratings:
        by_editor[rating.editor].append(rating)
    raters = {rating.rater for rating in ratings}
    few = f"Only {len(raters)} rater{'s' if len(raters) > 1 else ''}: the intervals may be too "
    return {
        "means": {name: _mean(own) for name, own in sorted(by_editor.items())},
        "agreement": _agreement(ratings, rng),
        "counts": {
            "ratings": len(ratings),
            "items": len({rating.item for rating in ratings}),
            "raters": len(raters),
        },
        "warnings": {"few-raters": f"{few}narrow. Ask at least {FEW_RATERS}."}
        if len(raters) < FEW_RATERS
        else {},
    }


def judge_correlation(
    people: Sequence[Rating], judges: Sequence[Rating], rng: np.random.Generator
) -> dict[str, Json]:
    """Return Pearson's r between each judge's ratings and people's means: judge -> question.

    A result that several people rated counts once. The interval is a bootstrap over items.
    """
    means: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for row in people:
        means[row.question, row.item, row.editor].append(row.value)
    pairs: dict[str, dict[str, list[tuple[str, float, float]]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for row in judges:
        own = means.get((row.question, row.item, row.editor))
        if own:
            pairs[row.rater][row.question].append((row.item, row.value, float(np.mean(own))))
    return {
        judge: {question: _correlation(rows, rng) for question, rows in found.items()}
        for judge, found in pairs.items()
    }


def _mean(ratings: Sequence[Rating]) -> dict[str, Json]:
    values = np.array([rating.value for rating in ratings])
    items, raters = (
        np.unique([getattr(rating, name) for rating in ratings], return_inverse=True)[1]
        for name in ("item", "rater")
    )
    mean, low, high = map(rounded, two_way_mean(values, items, raters))
    return {"mean": mean, "low": low, "high": high, "count": len(ratings)}


def _agreement(ratings: Sequence[Rating], rng: np.random.Generator) -> dict[str, Json]:
    levels, answer = np.unique([rating.value for rating in ratings], return_inverse=True)
    first: dict[tuple[str, str], dict[str, int]] = defaultdict(dict)
    repeats = []
    for rating, level in zip(ratings, answer, strict=True):
        by_rater = first[rating.item, rating.editor]
        if rating.rater in by_rater:
            repeats.append(by_rater[rating.rater] == level)
        by_rater.setdefault(rating.rater, int(level))
    counts = np.zeros((len(first), len(levels)))
    for at, by_rater in enumerate(first.values()):
        np.add.at(counts[at], list(by_rater.values()), 1)
    return {
        **alpha_of(counts, "ordinal", [item for item, _ in first], rng),
        "repeats": len(repeats),
        "self_consistency": rounded(np.mean(repeats)) if repeats else None,
    }


def _correlation(
    rows: Sequence[tuple[str, float, float]], rng: np.random.Generator
) -> dict[str, Json]:
    x, y = (np.array([row[at] for row in rows]) for at in (1, 2))
    weights = bootstrap_weights([item for item, _, _ in rows], RESAMPLES, rng)
    value = _pearson(x, y, np.ones((1, len(rows))))
    bounds = percentile_interval(_pearson(x, y, weights))
    if bounds is None or not np.isfinite(value[0]):
        return {"pearson": None, "reason": "one side does not vary", "count": len(rows)}
    low, high = map(rounded, bounds)
    return {"pearson": rounded(value[0]), "low": low, "high": high, "count": len(rows)}


def _pearson(x: Floats, y: Floats, weights: Floats) -> Floats:
    """Return the weighted correlation in each resample; NaN if a side does not vary."""
    share = weights / weights.sum(axis=1, keepdims=True)
    mean_x, mean_y = share @ x, share @ y
    covariance = share @ (x * y) - mean_x * mean_y
    spread = (share @ x**2 - mean_x**2) * (share @ y**2 - mean_y**2)
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Floats = covariance / np.sqrt(spread)
    found[spread <= 1e-12] = np.nan
    return found
