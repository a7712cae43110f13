"""The truth judge on faults of known kind and severity, over all operations.

These are properties of a measure, not of arithmetic: quantiles over cases are held to bounds, with
the exceptions that the judge itself lists in `ENTANGLED`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
from truth_cases import Case, cases, faulty, quantile, values

from editloop.darkroom.faults import KINDS, Fault, draw_faults
from editloop.darkroom.rewards import PASSING, rewards
from editloop.darkroom.truth import ENTANGLED
from editloop.runtime.seeding import generator
from editloop.schema import PERSPECTIVES

pytestmark = pytest.mark.slow

SEVERITIES = (0.3, 0.6, 1.0)
PLACES = [("astronaut", 64), ("coffee", 64), ("chelsea", 128)]


@dataclass(frozen=True)
class Judged:
    case: str
    severity: float
    values: dict[str, float]


def _possible(case: Case, kind: str) -> bool:
    needs = KINDS[kind]
    occasion = case.occasion
    return not (needs.needs_outside and occasion.whole) and (
        needs.needs_wrong is None or needs.needs_wrong in occasion.wrong
    )


def _judged(kind: str) -> Iterator[Judged]:
    for scene, size in PLACES:
        for at, case in enumerate(cases(scene, size)):
            if not _possible(case, kind) or (KINDS[kind].needs_wrong is None and at % 2):
                continue
            for severity in (1.0,) if kind == "nothing" else SEVERITIES:
                edited = faulty(case, Fault(KINDS[kind].family, kind, severity, ""))
                yield Judged(case.name, severity, values(case, edited))


@cache
def judged(kind: str) -> tuple[Judged, ...]:
    """Return the judge's verdicts on a kind of fault in every second case that can have it."""
    return tuple(_judged(kind))


def _at(kind: str, severity: float, perspective: str) -> list[float]:
    return [one.values[perspective] for one in judged(kind) if one.severity == severity]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "nothing"])
def test_scores_fall_with_severity(kind: str) -> None:
    own = KINDS[kind].family
    slight, clear, full = (np.array(_at(kind, severity, own)) for severity in SEVERITIES)
    assert slight.mean() > clear.mean() > full.mean()
    rises = np.maximum(clear - slight, full - clear)
    assert np.mean(rises < 0.1) > 0.95, kind
    assert np.mean(slight - full > 0.5) > 0.85, kind


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_fault_leaves_the_other_perspectives_alone(kind: str) -> None:
    """Check agreement within half a point in nine of ten cases, at every severity."""
    for perspective in PERSPECTIVES:
        if perspective == KINDS[kind].family or (kind, perspective) in ENTANGLED:
            continue
        for severity in (1.0,) if kind == "nothing" else SEVERITIES:
            left = _at(kind, severity, perspective)
            assert quantile(left, 0.5) > 4.75, (kind, perspective, severity)
            assert quantile(left, 0.1) > 4.5, (kind, perspective, severity)


@pytest.mark.parametrize(("kind", "perspective"), list(ENTANGLED))
def test_the_listed_exceptions_are_needed(kind: str, perspective: str) -> None:
    assert quantile(_at(kind, 1.0, perspective), 0.1) < 4.5


@pytest.mark.parametrize("kind", ["nothing", "colour_cast", "shift", "ringing"])
def test_the_dominant_faults_fail_their_perspective(kind: str) -> None:
    severity = KINDS[kind].typical
    failed = [value < PASSING for value in _at(kind, severity, KINDS[kind].family)]
    assert np.mean(failed) > 0.8


@cache
def records_and_verdicts() -> tuple[np.ndarray, np.ndarray]:
    """Return scores by fault records and by the judge, for samples drawn as in the build step."""
    recorded, seen = [], []
    for scene, size in PLACES:
        for case in cases(scene, size):
            rng = generator(case.name, "faults")
            faults = draw_faults(0.6, rng, case.occasion)
            verdict = values(case, faulty(case, *faults))
            recorded.append([rewards(faults)[name].value for name in PERSPECTIVES])
            seen.append([verdict[name] for name in PERSPECTIVES])
    return np.array(recorded), np.array(seen)


def test_the_judge_agrees_with_the_fault_records() -> None:
    recorded, seen = records_and_verdicts()
    together = np.corrcoef(recorded.T, seen.T)[:3, 3:]
    assert together[0, 0] > 0.95
    assert together[1, 1] > 0.93
    assert together[2, 2] > 0.75
    agreement = np.mean((recorded >= PASSING) == (seen >= PASSING), axis=0)
    assert (agreement > [0.95, 0.95, 0.8]).all(), agreement


def test_perspectives_are_not_confused() -> None:
    recorded, seen = records_and_verdicts()
    together = np.corrcoef(recorded.T, seen.T)[:3, 3:]
    own = np.corrcoef(recorded.T)
    others = ~np.eye(3, dtype=bool)
    assert np.abs(together - own)[others].max() < 0.15
