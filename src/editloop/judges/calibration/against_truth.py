"""Comparison of a judge with recorded faults: its accuracy, and the faults that it notices.

All scores are in points of 100. The confusion and the sensitivity compare a pair with a single
fault to the same edit without one, so that the content of the edit cancels out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from editloop.darkroom.faults import KINDS, Fault
from editloop.judges.calibration.asking import Judged
from editloop.judges.calibration.correlations import correlations
from editloop.judges.calibration.estimates import Floats, mean_of, rounded, share_of
from editloop.judges.calibration.pairs import TruthFacts, level_of
from editloop.judges.calibration.scales import SCALES
from editloop.schema import PERSPECTIVES, Json
from editloop.statistics.bootstrap import bootstrap_weights

__all__ = ["Disagreement", "against_truth", "disagreements"]

_TIE = 1.0  # points of 100; smaller differences are ties
_AXES: dict[str, Callable[[TruthFacts], str]] = {
    "edit_type": lambda facts: facts.edit_type,
    "size": lambda facts: f"{facts.size} px",
    "scene": lambda facts: facts.scene,
}


def against_truth(
    judged: Judged[TruthFacts], resamples: int, rng: np.random.Generator
) -> dict[str, Json]:
    """Return results with `perspectives`, `confusion`, `sensitivity` and `slices`."""
    weights = bootstrap_weights([facts.edit for facts in judged.facts], resamples, rng)
    table = _Table(judged, weights)
    return {
        "pairs": len(judged.facts),
        "edits": len({facts.edit for facts in judged.facts}),
        "perspectives": {name: table.agreement(name) for name in judged.perspectives},
        "confusion": {
            family: {name: table.drop(name, table.singles(family)) for name in judged.perspectives}
            for family in PERSPECTIVES
        },
        "sensitivity": {name: table.sensitivity(name) for name in judged.perspectives},
        "slices": {
            axis: {
                value: {name: table.accuracy(name, rows) for name in judged.perspectives}
                for value, rows in _slices(judged.facts, label)
            }
            for axis, label in _AXES.items()
        },
    }


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A pair on which judge and record differ strongly, in points of 100; `at` is its index."""

    at: int
    perspective: str
    recorded: float
    judged: float
    text: str | None


def disagreements(judged: Judged[TruthFacts], most: int) -> list[Disagreement]:
    """Return each perspective's `most` largest disagreements, at most one for each edit."""
    found = []
    for name in judged.perspectives:
        recorded = np.array([facts.points(name) for facts in judged.facts])
        apart = np.abs(judged.points[name] - recorded)
        seen: set[str] = set()
        for at in np.argsort(-np.nan_to_num(apart), kind="stable"):
            edit = judged.facts[at].edit
            if len(seen) == most or not apart[at] > 0:
                break
            if edit not in seen:
                seen.add(edit)
                scores = rounded(recorded[at]), rounded(judged.points[name][at])
                found.append(Disagreement(int(at), name, *scores, judged.texts[name][at]))
    return found


def _slices(
    facts: list[TruthFacts], label: Callable[[TruthFacts], str]
) -> Iterator[tuple[str, NDArray[np.intp]]]:
    labels = [label(each) for each in facts]
    for value in dict.fromkeys(labels):
        yield value, np.flatnonzero([each == value for each in labels])


class _Table:
    """Verdicts and their records, as columns."""

    def __init__(self, judged: Judged[TruthFacts], weights: Floats) -> None:
        self._judged = judged
        self._facts = judged.facts
        self._weights = weights
        self._groups = [facts.edit for facts in judged.facts]
        clean: dict[str, int] = {}
        for at, facts in enumerate(judged.facts):
            if not facts.faults:
                clean.setdefault(facts.edit, at)
        self._clean = np.array([clean[facts.edit] for facts in judged.facts])

    def agreement(self, name: str) -> dict[str, Json]:
        """Return how a perspective's verdicts agree with the records, and how many there are."""
        points, passed = self._judged.points[name], self._judged.passed[name]
        recorded = np.array([facts.points(name) for facts in self._facts])
        should = np.array([float(facts.passes(name)) for facts in self._facts])
        right = self._right(name)
        scored = int(np.isfinite(points).sum())
        return {
            "accuracy": share_of(right, self._groups),
            "good_passed": share_of(np.where(should == 1, right, np.nan), self._groups),
            "bad_failed": share_of(np.where(should == 0, right, np.nan), self._groups),
            "always_yes": rounded(float(should[np.isfinite(passed)].mean()))
            if np.isfinite(passed).any()
            else None,
            **correlations(points, recorded, self._weights),
            "bias": mean_of(points - recorded, self._weights),
            "coverage": rounded(scored / len(points)),
            "count": scored,
            "unscored": dict(Counter(filter(None, self._judged.reasons[name])).most_common()),
        }

    def accuracy(self, name: str, rows: NDArray[np.intp]) -> Json:
        """Return the share of right yes and no among some pairs."""
        return share_of(self._right(name)[rows], [self._groups[row] for row in rows])

    def singles(self, family: str) -> NDArray[np.intp]:
        """Return the pairs whose only fault is of a family."""
        return self._where(lambda fault: fault.family == family)

    def drop(self, name: str, rows: NDArray[np.intp]) -> Json:
        """Return how much less some pairs score than the same edits without a fault, in points."""
        return mean_of(self._drops(name)[rows], self._weights[:, rows])

    def sensitivity(self, name: str) -> dict[str, Json]:
        """Return how reliably and how strongly each kind of fault of its families is noticed."""
        kinds = [kind for kind, each in KINDS.items() if each.family in SCALES[name].families]
        return {kind: self._kind(name, kind) for kind in kinds if len(self._of_kind(kind))}

    def _kind(self, name: str, kind: str) -> dict[str, Json]:
        rows = self._of_kind(kind)
        severities = sorted({fault.severity for fault in self._singles(rows)})
        return {
            "told_apart": self._told_apart(name, rows),
            "severities": [self._severity(name, kind, severity) for severity in severities],
        }

    def _severity(self, name: str, kind: str, severity: float) -> dict[str, Json]:
        rows = self._where(lambda fault: fault.kind == kind and fault.severity == severity)
        recorded = [100 - self._facts[row].points(name) for row in rows]
        return {
            "severity": severity,
            "level": next(level_of(fault) for fault in self._singles(rows)),
            "recorded_drop": rounded(float(np.mean(recorded))),
            "drop": self.drop(name, rows),
            "accuracy": self.accuracy(name, rows),
        }

    def _told_apart(self, name: str, rows: NDArray[np.intp]) -> Json:
        """Return how often a faulty pair scores less than the same edit without a fault.

        Differences of less than one point of 100 are ties and count half.
        """
        drops = self._drops(name)[rows]
        order = np.where(np.abs(drops) < _TIE, 0.0, np.sign(drops))
        hits = np.where(np.isfinite(drops), (order + 1) / 2, np.nan)
        return share_of(hits, [self._groups[row] for row in rows])

    def _drops(self, name: str) -> Floats:
        points = self._judged.points[name]
        return np.asarray(points[self._clean] - points)

    def _right(self, name: str) -> Floats:
        passed = self._judged.passed[name]
        should = np.array([float(facts.passes(name)) for facts in self._facts])
        return np.where(np.isfinite(passed), (passed == should).astype(np.float64), np.nan)

    def _of_kind(self, kind: str) -> NDArray[np.intp]:
        return self._where(lambda fault: fault.kind == kind)

    def _where(self, chosen: Callable[[Fault], bool]) -> NDArray[np.intp]:
        single = [facts.single for facts in self._facts]
        return np.flatnonzero([fault is not None and chosen(fault) for fault in single])

    def _singles(self, rows: NDArray[np.intp]) -> Iterator[Fault]:
        for row in rows:
            fault = self._facts[row].single
            if fault is not None:
                yield fault
