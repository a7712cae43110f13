"""Means with intervals over a stream of cases, in constant memory.

A Poisson bootstrap (Hanley and MacGibbon 2006; Chamandy et al. 2012): each resample draws each
group of cases a Poisson(1) number of times, independently of all others, so sums can be updated as
cases arrive. A mean is a ratio of sums, as in `means`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from editloop.schema import Json
from editloop.statistics.bootstrap import PERCENTILES

__all__ = ["RunningMeans"]

_Floats = NDArray[np.float64]
_DIGITS = 8
_GRID = 2.0**30  # values are rounded to multiples of 2**-30: their sums are exact in any order
_MOST_REASONS = 100  # distinct reasons counted per metric; further ones are ignored


@dataclass(slots=True)
class _Sums:
    """The sums over the cases of one slice, in the sample and in each resample."""

    cases: int
    counts: NDArray[np.int64]  # [metrics]: cases with a value
    totals: _Floats  # [metrics]
    drawn: _Floats  # [resamples, metrics]: how often cases with a value were drawn
    drawn_totals: _Floats  # [resamples, metrics]


class RunningMeans:
    """Running sums of metrics by slice; `add` adds cases, `summary` returns a slice's means."""

    def __init__(self, metrics: Sequence[str], resamples: int) -> None:
        self._metrics = tuple(metrics)
        self._resamples = resamples
        self._sums: dict[Hashable, _Sums] = {}
        self._reasons: dict[str, Counter[str]] = defaultdict(Counter)

    def add(
        self,
        values: _Floats,
        groups: Sequence[Hashable],
        slices: Mapping[Hashable, NDArray[np.intp]],
        rng: np.random.Generator,
    ) -> None:
        """Add cases: `values` [cases, metrics], NaN if unscored; a slice is a subset of the rows.

        Cases of one group (the turns of a session) are drawn together; pass a group in one call.
        """
        index = {group: at for at, group in enumerate(dict.fromkeys(groups))}
        draws = rng.poisson(1.0, size=(self._resamples, len(index))).astype(np.float64)
        weights = draws[:, [index[group] for group in groups]]  # [resamples, cases]
        present = ~np.isnan(values)
        exact = np.where(present, np.round(values * _GRID) / _GRID, 0.0)
        for name, rows in slices.items():
            sums = self._sums_of(name)
            sums.cases += len(rows)
            sums.counts += present[rows].sum(axis=0)
            sums.totals += exact[rows].sum(axis=0)
            sums.drawn += weights[:, rows] @ present[rows].astype(np.float64)
            sums.drawn_totals += weights[:, rows] @ exact[rows]

    def explain(self, metric: str, reasons: Iterable[str]) -> None:
        """Count the reasons why a metric has no value for some cases."""
        counter = self._reasons[metric]
        for reason in reasons:
            if reason in counter or len(counter) < _MOST_REASONS:
                counter[reason] += 1

    def cases(self, name: Hashable) -> int:
        """Return the number of cases in a slice."""
        return self._sums[name].cases

    def summary(self, name: Hashable) -> dict[str, Json]:
        """Return metric -> mean, low, high (95%), count, coverage; or a null mean and a reason."""
        sums = self._sums[name]
        return {metric: self._entry(sums, at) for at, metric in enumerate(self._metrics)}

    def _sums_of(self, name: Hashable) -> _Sums:
        if name not in self._sums:
            width = len(self._metrics)
            drawn = np.zeros((2, self._resamples, width))
            counts = np.zeros(width, np.int64)
            self._sums[name] = _Sums(0, counts, np.zeros(width), drawn[0], drawn[1])
        return self._sums[name]

    def _entry(self, sums: _Sums, at: int) -> Json:
        count = int(sums.counts[at])
        if count == 0:
            common = self._reasons[self._metrics[at]].most_common(1)
            reason = common[0][0] if common else "no case has this number"
            return {"mean": None, "reason": reason, "command": None}
        drawn = sums.drawn[:, at] > 0
        means = sums.drawn_totals[drawn, at] / sums.drawn[drawn, at]
        mean = sums.totals[at] / count
        # No resample drew these few cases: the interval is the mean itself.
        low, high = np.percentile(means, PERCENTILES) if len(means) else (mean, mean)
        return {
            "mean": round(float(mean), _DIGITS),
            "low": round(float(low), _DIGITS),
            "high": round(float(high), _DIGITS),
            "count": count,
            "coverage": round(count / sums.cases, _DIGITS),
        }
