"""Means with intervals from the values of all cases, by a paired bootstrap over cases.

Every mean is a ratio of sums over cases, weighted by how often a resample drew each case. All
editors share the resamples, so differences between them are paired. Turns of one session are drawn
together. The intervals cover new cases from the same photos, not new photos.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from editloop.schema import Json
from editloop.statistics.bootstrap import PERCENTILES

__all__ = ["Numbers", "compare", "slice_rows", "summarise"]

_Floats = NDArray[np.float64]
_DIGITS = 8
_GRID = 2.0**30


@dataclass(frozen=True, slots=True, eq=False)
class Numbers:
    """The measurements of a benchmark: `values` is [editors, cases, metrics], NaN if unscored.

    `answered` [editors, cases] is True where an editor made a picture. `reasons` gives the most
    frequent reason for a missing value by (editor, metric), and `commands` the command that fixes
    it by (metric, reason). With `groups`, one label per case, a mean is the mean of the groups'
    means.
    """

    editors: tuple[str, ...]
    metrics: tuple[str, ...]
    values: _Floats
    answered: NDArray[np.bool_]
    reasons: Mapping[tuple[str, str], str] = field(default_factory=dict)
    commands: Mapping[tuple[str, str], str | None] = field(default_factory=dict)
    groups: Sequence[str | None] | None = None

    def groups_of(self, rows: NDArray[np.intp]) -> list[NDArray[np.intp]]:
        """Return the positions in `rows` of each group; one group of all rows without `groups`."""
        if self.groups is None:
            return [np.arange(len(rows))]
        labels = [self.groups[row] or "" for row in rows]
        return list(slice_rows(labels).values())


@dataclass(frozen=True, slots=True, eq=False)
class _Estimates:
    """The mean of each column, and its mean in every resample."""

    mean: _Floats  # [columns]
    replicates: _Floats  # [resamples, columns]
    count: NDArray[np.int64]  # [columns]


def summarise(
    numbers: Numbers, weights: _Floats, rows: NDArray[np.intp] | None = None
) -> dict[str, dict[str, Json]]:
    """Return editor -> metric -> mean, low, high (95%), count, coverage over the cases in `rows`.

    `count` is the number of cases in the mean and `coverage` their share of the cases in `rows`. A
    metric without any value becomes `{"mean": null, "reason", "command"}`.
    """
    chosen = np.arange(numbers.values.shape[1]) if rows is None else rows
    values = numbers.values[:, chosen].transpose(1, 0, 2)  # [cases, editors, metrics]
    made = _estimate(values.reshape(len(chosen), -1), weights[:, chosen], numbers.groups_of(chosen))
    low, high = _interval(made.replicates)
    summary: dict[str, dict[str, Json]] = {editor: {} for editor in numbers.editors}
    columns = [(editor, metric) for editor in numbers.editors for metric in numbers.metrics]
    for at, (editor, metric) in enumerate(columns):
        count = int(made.count[at])
        if count == 0:
            reason = numbers.reasons.get((editor, metric), "no case has this number")
            command = numbers.commands.get((metric, reason))
            summary[editor][metric] = {"mean": None, "reason": reason, "command": command}
            continue
        summary[editor][metric] = {
            "mean": _rounded(made.mean[at]),
            "low": _rounded(low[at]),
            "high": _rounded(high[at]),
            "count": count,
            "coverage": _rounded(count / len(chosen)),
        }
    return summary


def compare(
    numbers: Numbers, weights: _Floats, first: str, second: str, metric: str
) -> dict[str, Json] | None:
    """Return the first editor's mean minus the second's, with its paired interval.

    Both means are over the `cases` that every editor answered and that have a value (`counts`).
    `apart` is True if the editors' own intervals do not overlap. Returns None if an editor has no
    value in these cases.
    """
    common = np.flatnonzero(numbers.answered.all(axis=0))
    column = numbers.metrics.index(metric)
    pair = [numbers.editors.index(first), numbers.editors.index(second)]
    values = numbers.values[pair][:, common, column].T
    made = _estimate(values, weights[:, common], numbers.groups_of(common))
    if not made.count.all():
        return None
    low, high = _interval(made.replicates[:, :1] - made.replicates[:, 1:])
    lows, highs = _interval(made.replicates)
    return {
        "first": _rounded(made.mean[0]),
        "second": _rounded(made.mean[1]),
        "difference": _rounded(made.mean[0] - made.mean[1]),
        "low": _rounded(low[0]),
        "high": _rounded(high[0]),
        "apart": bool(lows[0] > highs[1] or lows[1] > highs[0]),
        "cases": len(common),
        "counts": made.count.tolist(),
    }


def slice_rows(labels: Sequence[str | None]) -> dict[str, NDArray[np.intp]]:
    """Return the rows of each label, by sorted label; cases with the label None are left out."""
    array = np.asarray(labels, dtype=object)
    names = sorted({label for label in labels if label is not None})
    return {name: np.flatnonzero(array == name) for name in names}


def _estimate(values: _Floats, weights: _Floats, groups: Sequence[NDArray[np.intp]]) -> _Estimates:
    """Return the column means of [cases, columns], in the sample and in each resample.

    The mean over several groups is the mean of their means that are not NaN.
    """
    made = [_estimate_group(values[rows], weights[:, rows]) for rows in groups]
    if len(made) == 1:
        return made[0]
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", RuntimeWarning
        )  # a column without values in any group is NaN
        mean = np.nanmean([each.mean for each in made], axis=0)
        replicates = np.nanmean([each.replicates for each in made], axis=0)
    return _Estimates(mean, replicates, np.sum([each.count for each in made], axis=0))


def _estimate_group(values: _Floats, weights: _Floats) -> _Estimates:
    """Return the means of one group.

    Values are first rounded to multiples of 2**-30, so that sums of doubles are exact: the result
    does not depend on the order of summation or the number of threads.
    """
    present = ~np.isnan(values)
    exact = np.where(present, np.round(values * _GRID) / _GRID, 0.0)
    count = present.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = exact.sum(axis=0) / count
        replicates = (weights @ exact) / (weights @ present.astype(np.float64))
    return _Estimates(mean, replicates, count)


def _interval(replicates: _Floats) -> tuple[_Floats, _Floats]:
    """Return the 2.5th and 97.5th percentile of each column, ignoring NaN."""
    bounds = np.full((2, replicates.shape[1]), np.nan)
    present = ~np.isnan(replicates)
    whole = present.all(axis=0)
    bounds[:, whole] = np.percentile(replicates[:, whole], PERCENTILES, axis=0)
    for column in np.flatnonzero(~whole & present.any(axis=0)):
        kept = replicates[present[:, column], column]
        bounds[:, column] = np.percentile(kept, PERCENTILES)
    return bounds[0], bounds[1]


def _rounded(value: float | np.floating) -> float:
    return round(float(value), _DIGITS)
