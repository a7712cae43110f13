"""The rules that a sanity suite checks: what must hold of a judge's verdicts on some variants.

Limits were fixed before any judge was run: nine in ten where it is plain to see, a fifth of the
scale where a little may show, a tenth where nothing should.
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

_MOST = 0.9  # share of the pairs that must come out as they should
_CLEARLY = 20.0  # points of 100
_SLIGHTLY = 10.0
_SLACK = 5.0  # by which a step of a ladder may go the wrong way
_BELOW = f"{_CLEARLY:g} points below the edit done right"
_FEW = 0.05  # share of the pairs that may be talked over


class VerdictsByVariant:
    """A judge's verdicts by variant and perspective; columns hold the edits in one order."""

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
        """Scores in points of 100, NaN where there is none."""
        return self._judged.points[name][self._rows[variant]]

    def passed(self, variant: str, name: str) -> Floats:
        """1 for yes, 0 for no, NaN where there is neither."""
        return self._judged.passed[name][self._rows[variant]]

    def says_yes_or_no(self, name: str) -> bool:
        """Whether the judge ever does, in this perspective."""
        return bool(np.isfinite(self._judged.passed[name]).any())

    def mean(self, values: Floats) -> Json:
        """The mean of a column, with its interval."""
        return mean_of(values, self._weights)

    def share(self, hits: Floats) -> Json:
        """The share of hits in a column, with its interval."""
        return share_of(hits, self.edits)

    def why_not(self, variants: Sequence[str], name: str) -> str:
        """The most frequent reason why a score of some variants is missing."""
        reasons = self._judged.reasons[name]
        found = Counter(reasons[row] for each in variants for row in self._rows[each])
        found.pop(None, None)
        return found.most_common(1)[0][0] or "" if found else "no yes or no"


@dataclass(frozen=True, slots=True)
class Result:
    """Whether a rule is met, and the number that decides; None where nothing was scored.

    `says` and `unit` are the rule's, as it was tested.
    """

    met: bool
    number: Json
    says: str
    unit: str


class Rule(Protocol):
    """A rule on one perspective; `says` states it of a judge that says yes and no."""

    @property
    def says(self) -> str: ...

    @property
    def unit(self) -> str:
        """What its number is."""
        ...

    @property
    def variants(self) -> tuple[str, ...]:
        """The variants that it looks at."""
        ...

    def test(self, seen: VerdictsByVariant, name: str) -> Result: ...


@dataclass(frozen=True, slots=True)
class SaysNo:
    """Nine in ten are judged no; where a judge says neither, a fifth of the scale below right."""

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
    """Nine in ten are judged yes; where a judge says neither, within a fifth of the scale."""

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
    """The mean moves by no more than a limit, in points of 100."""

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
    """Along a ladder from harmless to harmful the mean falls, and never rises on the way."""

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
    """What fails without an order to pass still fails with it: few are talked over."""

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
        talked_over = turned is not None and turned["mean"] > _FEW
        met = number is not None and number["mean"] <= _SLIGHTLY and not talked_over
        return Result(met, number, self.says, self.unit)


def _accepted(seen: VerdictsByVariant, variant: str, name: str) -> Floats:
    """1 where a variant passes; without yes and no, where it comes near the edit done right.

    That edit itself then has nothing to be compared with.
    """
    if seen.says_yes_or_no(name) or variant == RIGHT:
        return seen.passed(variant, name)
    below = seen.points(RIGHT, name) - seen.points(variant, name)
    return np.where(np.isfinite(below), (below < _CLEARLY) * 1.0, np.nan)
