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
from editloop.statistics.bootstrap import PERCENTILES, Resamples

__all__ = ["Numbers", "Paired", "slice_rows", "summaries", "summarise"]

_Floats = NDArray[np.float64]
_Rows = NDArray[np.intp]
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

    def groups_of(self, rows: _Rows) -> list[_Rows]:
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


def summarise(numbers: Numbers, resamples: Resamples) -> dict[str, dict[str, Json]]:
    """Return the summary of all cases, as `summaries` does."""
    return summaries(numbers, resamples, [np.arange(numbers.values.shape[1])])[0]


def summaries(
    numbers: Numbers, resamples: Resamples, selections: Sequence[_Rows]
) -> list[dict[str, dict[str, Json]]]:
    """Return editor -> metric -> mean, low, high (95%), count, coverage for each selection of rows.

    `count` is the number of cases in the mean and `coverage` their share of the selected ones. A
    metric without any value becomes `{"mean": null, "reason", "command"}`.
    """
    made = _estimates(numbers, resamples, selections)
    return [_summary(numbers, each, len(rows)) for each, rows in zip(made, selections, strict=True)]


def _summary(numbers: Numbers, made: _Estimates, cases: int) -> dict[str, dict[str, Json]]:
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
            "coverage": _rounded(count / cases),
        }
    return summary


class Paired:
    """Comparisons of editors over the cases that all of them answered."""

    def __init__(self, numbers: Numbers, resamples: Resamples) -> None:
        self._numbers = numbers
        self._common = np.flatnonzero(numbers.answered.all(axis=0))
        (self._made,) = _estimates(numbers, resamples, [self._common])

    def compare(self, first: str, second: str, metric: str) -> dict[str, Json] | None:
        """Return the first editor's mean minus the second's, with its paired interval.

        Both means are over the `cases` that have a value (`counts`). `apart` is True if the
        editors' own intervals do not overlap. Returns None if an editor has no value in these
        cases.
        """
        numbers, made = self._numbers, self._made
        column, width = numbers.metrics.index(metric), len(numbers.metrics)
        pair = [numbers.editors.index(each) * width + column for each in (first, second)]
        mean, counts, replicates = made.mean[pair], made.count[pair], made.replicates[:, pair]
        if not counts.all():
            return None
        low, high = _interval(replicates[:, :1] - replicates[:, 1:])
        lows, highs = _interval(replicates)
        return {
            "first": _rounded(mean[0]),
            "second": _rounded(mean[1]),
            "difference": _rounded(mean[0] - mean[1]),
            "low": _rounded(low[0]),
            "high": _rounded(high[0]),
            "apart": bool(lows[0] > highs[1] or lows[1] > highs[0]),
            "cases": len(self._common),
            "counts": counts.tolist(),
        }


def slice_rows(labels: Sequence[str | None]) -> dict[str, _Rows]:
    """Return the rows of each label, by sorted label; cases with the label None are left out."""
    array = np.asarray(labels, dtype=object)
    names = sorted({label for label in labels if label is not None})
    return {name: np.flatnonzero(array == name) for name in names}


def _estimates(
    numbers: Numbers, resamples: Resamples, selections: Sequence[_Rows]
) -> list[_Estimates]:
    """Return the mean of each editor's metrics over each selection of rows.

    Values are first rounded to multiples of 2**-30, so that sums of doubles are exact: the result
    does not depend on the order of summation, the blocks or the number of threads.
    """
    cases = numbers.values.shape[1]
    values = numbers.values.transpose(1, 0, 2).reshape(cases, -1)  # [cases, editors * metrics]
    present = ~np.isnan(values)
    exact = np.where(present, np.round(values * _GRID) / _GRID, 0.0)
    groups = [[rows[at] for at in numbers.groups_of(rows)] for rows in selections]
    made = [_weighted(np.ones((1, cases)), exact, present, each)[0] for each in groups]
    replicates: list[list[_Floats]] = [[] for _ in selections]
    for weights in resamples.blocks():
        for found, each in zip(replicates, groups, strict=True):
            found.append(_weighted(weights, exact, present, each))
    counts = [present[rows].sum(axis=0) for rows in selections]
    return [
        _Estimates(mean, np.concatenate(found), count)
        for mean, found, count in zip(made, replicates, counts, strict=True)
    ]


def _weighted(
    weights: _Floats, exact: _Floats, present: NDArray[np.bool_], groups: Sequence[_Rows]
) -> _Floats:
    """Return the columns' means [resamples, columns]: the mean of the groups' means but NaN."""
    means = []
    with np.errstate(invalid="ignore", divide="ignore"):
        for rows in groups:
            drawn = weights[:, rows]
            means.append((drawn @ exact[rows]) / (drawn @ present[rows].astype(np.float64)))
    if len(means) == 1:
        return means[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a column without values in any group
        averaged: _Floats = np.nanmean(means, axis=0)
    return averaged


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
