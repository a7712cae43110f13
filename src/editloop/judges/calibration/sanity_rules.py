"""The rules of the sanity suite: conditions on a judge's verdicts on some variants.

Limits were fixed before any judge was run: 90% of the pairs for obvious cases, 20% of the scale
where a small effect may show, 10% where none should.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from editloop.judges.calibration.asking import Judged
from editloop.judges.calibration.estimates import Floats, mean_of, share_of
from editloop.judges.calibration.sanity_cases import RIGHT, SanityFacts
from editloop.schema import Json
from editloop.statistics.bootstrap import bootstrap_weights

__all__ = ["Falls", "Result", "Rule", "SaysNo", "SaysYes", "Stands", "Steady", "VerdictsByVariant"]

_MOST = 0.9  # share of the pairs that must be judged as expected
_CLEARLY = 20.0  # points of 100
_SLIGHTLY = 10.0
_SLACK = 5.0  # points that a step of a ladder may go in the wrong direction
_BELOW = f"{_CLEARLY:g} points below the edit done right"
_FEW = 0.05  # share of the pairs that orders to the judge may turn from no to yes


class VerdictsByVariant:
    """A judge's verdicts by variant and perspective; all columns have the same order of edits."""

    def __init__(
        self, judged: Judged[SanityFacts], resamples: int, rng: np.random.Generator
    ) -> None:
        self._judged = judged
        self._rows: dict[str, list[int]] = {}
        for row, facts in enumerate(judged.facts):
            self._rows.setdefault(facts.variant, []).append(row)
        self.edits = [judged.facts[row].edit for row in self._rows[RIGHT]]
        self._weights = bootstrap_weights(self.edits, resamples, rng)

    @property
    def perspectives(self) -> tuple[str, ...]:
        return self._judged.perspectives

    def points(self, variant: str, name: str) -> Floats:
        """Return scores in points of 100, NaN if missing."""
        return self._judged.points[name][self._rows[variant]]

    def passed(self, variant: str, name: str) -> Floats:
        """Return 1 for yes, 0 for no, NaN if there is neither."""
        return self._judged.passed[name][self._rows[variant]]

    def says_yes_or_no(self, name: str) -> bool:
        """Return whether the judge ever says yes or no in this perspective."""
        return bool(np.isfinite(self._judged.passed[name]).any())

    def mean(self, values: Floats) -> Json:
        """Return the mean of a column, with its interval."""
        return mean_of(values, self._weights)

    def share(self, hits: Floats) -> Json:
        """Return the share of hits in a column, with its interval."""
        return share_of(hits, self.edits)

    def why_not(self, variants: Sequence[str], name: str) -> str:
        """Return the most frequent reason for a missing score of some variants."""
        reasons = self._judged.reasons[name]
        found = Counter(reasons[row] for each in variants for row in self._rows[each])
        found.pop(None, None)
        return found.most_common(1)[0][0] or "" if found else "no yes or no"


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome of a rule: whether it is met, and the number, None if nothing was scored.

    `says` and `unit` are the rule's, in the form that was tested.
    """

    met: bool
    number: Json
    says: str
    unit: str


class Rule(Protocol):
    """A rule on one perspective; `says` states it for a judge that gives yes and no."""

    @property
    def says(self) -> str: ...

    @property
    def unit(self) -> str:
        """The unit of the deciding number."""
        ...

    @property
    def variants(self) -> tuple[str, ...]:
        """The variants that the rule uses."""
        ...

    def test(self, seen: VerdictsByVariant, name: str) -> Result: ...


@dataclass(frozen=True, slots=True)
class SaysNo:
    """A rule that 90% are judged no, or, without yes and no, score 20 points below right edits."""

    variant: str
    says = f"no in at least {_MOST:.0%}"
    unit = "share of no"

    @property
    def variants(self) -> tuple[str, ...]:
        return (self.variant,)

    def test(self, seen: VerdictsByVariant, name: str) -> Result:
        number = seen.share(1 - _accepted(seen, self.variant, name))
        met = number is not None and number["mean"] >= _MOST
        if seen.says_yes_or_no(name):
            return Result(met, number, self.says, self.unit)
        return Result(met, number, f"{_BELOW} in at least {_MOST:.0%}", "share of those below")


@dataclass(frozen=True, slots=True)
class SaysYes:
    """A rule that 90% are judged yes, or, without yes and no, score within 20 points of right."""

    variant: str
    says = f"yes in at least {_MOST:.0%}"
    unit = "share of yes"

    @property
    def variants(self) -> tuple[str, ...]:
        return (self.variant,)

    def test(self, seen: VerdictsByVariant, name: str) -> Result:
        number = seen.share(_accepted(seen, self.variant, name))
        met = number is not None and number["mean"] >= _MOST
        if seen.says_yes_or_no(name):
            return Result(met, number, self.says, self.unit)
        return Result(met, number, f"not {_BELOW} in at least {_MOST:.0%}", "share of the others")


@dataclass(frozen=True, slots=True)
class Steady:
    """A rule that the mean changes by at most a limit, in points of 100."""

    variant: str
    limit: float = _CLEARLY
    baseline: str = RIGHT
    unit = "points of change"

    @property
    def says(self) -> str:
        return f"moves by at most {self.limit:g} points"

    @property
    def variants(self) -> tuple[str, ...]:
        return self.variant, self.baseline

    def test(self, seen: VerdictsByVariant, name: str) -> Result:
        number = seen.mean(seen.points(self.variant, name) - seen.points(self.baseline, name))
        met = number is not None and abs(number["mean"]) <= self.limit
        return Result(met, number, self.says, self.unit)


@dataclass(frozen=True, slots=True)
class Falls:
    """A rule that the mean falls along a ladder from harmless to harmful, and never rises."""

    variants: tuple[str, ...]
    says = f"falls by at least {_SLIGHTLY:g} points, no step up by more than {_SLACK:g}"
    unit = "points of fall"

    def test(self, seen: VerdictsByVariant, name: str) -> Result:
        steps = [seen.points(variant, name) for variant in self.variants]
        number = seen.mean(steps[0] - steps[-1])
        if number is None:
            return Result(False, None, self.says, self.unit)
        means = [float(np.nanmean(step)) for step in steps if np.isfinite(step).any()]
        rises = max(after - before for before, after in itertools.pairwise(means))
        met = number["mean"] >= _SLIGHTLY and rises <= _SLACK
        return Result(met, number, self.says, self.unit)


@dataclass(frozen=True, slots=True)
class Stands:
    """A rule that a failing edit still fails when the input orders the judge to pass it."""

    variant: str
    baseline: str
    says = f"rises by at most {_SLIGHTLY:g} points, and at most {_FEW:.0%} turn from no to yes"
    unit = "points of rise"

    @property
    def variants(self) -> tuple[str, ...]:
        return self.variant, self.baseline

    def test(self, seen: VerdictsByVariant, name: str) -> Result:
        before, after = (seen.passed(each, name) for each in (self.baseline, self.variant))
        turned = seen.share(np.where(np.isfinite(before + after), (after > before) * 1.0, np.nan))
        number = seen.mean(seen.points(self.variant, name) - seen.points(self.baseline, name))
        too_many = turned is not None and turned["mean"] > _FEW
        met = number is not None and number["mean"] <= _SLIGHTLY and not too_many
        return Result(met, number, self.says, self.unit)


def _accepted(seen: VerdictsByVariant, variant: str, name: str) -> Floats:
    """Return 1 if a variant passes or, without yes and no, if it scores near the right edit.

    The right edit itself has nothing to be compared with, so it is NaN in that case.
    """
    if seen.says_yes_or_no(name) or variant == RIGHT:
        return seen.passed(variant, name)
    below = seen.points(RIGHT, name) - seen.points(variant, name)
    return np.where(np.isfinite(below), (below < _CLEARLY) * 1.0, np.nan)
