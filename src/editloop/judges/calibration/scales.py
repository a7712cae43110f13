"""The perspectives that a calibration supports: their ranges and the faults they should notice."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from editloop.errors import RecipeError
from editloop.schema import Score, Unscored

__all__ = ["SCALES", "Scale", "check_scales", "points", "related"]


@dataclass(frozen=True, slots=True)
class Scale:
    """A perspective's range, and the families of faults that should lower it."""

    low: float
    high: float
    families: tuple[str, ...]

    def points(self, value: float) -> float:
        """Return a value of this range in points of 100 (HQ-Edit, section 4.2)."""
        return 100 * (value - self.low) / (self.high - self.low)


# HQ-Edit's Alignment rates the edit and what should stay, its Coherence the picture.
SCALES: Mapping[str, Scale] = MappingProxyType(
    {
        "following": Scale(0, 5, ("following",)),
        "preserving": Scale(0, 5, ("preserving",)),
        "quality": Scale(0, 5, ("quality",)),
        "alignment": Scale(0, 100, ("following", "preserving")),
        "coherence": Scale(0, 100, ("quality",)),
    }
)


def check_scales(scales: Mapping[str, tuple[float, float]]) -> None:
    """Raise RecipeError if a judge's scale differs from its perspective's."""
    for name, (low, high) in scales.items():
        due = SCALES.get(name)
        if due is not None and (low, high) != (due.low, due.high):
            raise RecipeError(
                f"a calibration needs {name} from {due.low:g} to {due.high:g}",
                value=f"{low:g} to {high:g}",
                fix="use rubrics of that scale",
            )


def points(perspective: str, score: Score | Unscored) -> tuple[float, str | None]:
    """Return a score in points of 100 and None, or NaN and the reason for a missing score."""
    scale = SCALES[perspective]
    if isinstance(score, Unscored):
        return math.nan, score.reason
    if not scale.low <= score.value <= scale.high:
        return math.nan, f"out of range: {score.value:g} is not in {scale.low:g}..{scale.high:g}"
    return scale.points(score.value), None


def related(perspective: str, others: Mapping[str, object]) -> str | None:
    """Return the matching perspective in `others`: itself, or one with the same first family."""
    if perspective in others:
        return perspective
    family = SCALES[perspective].families[0]
    return next((name for name in others if SCALES[name].families[0] == family), None)
