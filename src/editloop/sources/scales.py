"""Scores on a scale of their own, mapped to the scale of rewards (0 to 5)."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, BeforeValidator

from editloop.schema import Cause, Json, Score, Unscored

__all__ = ["REWARDS", "Scale", "number_of", "rescaled", "suffix_of"]

REWARDS = (0.0, 5.0)  # the scale of following, preserving and quality


def _split(value: Json) -> Json:
    return value.strip("[] ").split(",") if isinstance(value, str) else value


def _rising(scale: tuple[float, float]) -> tuple[float, float]:
    if not scale[0] < scale[1]:
        raise ValueError("a scale is its lowest and its highest score, such as -4,4")
    return scale


# The lowest and the highest score; as text `-4,4`.
Scale: TypeAlias = Annotated[tuple[float, float], BeforeValidator(_split), AfterValidator(_rising)]


def suffix_of(scale: tuple[float, float] | None) -> str:
    """Return the part of a judge's version that states its declared scale."""
    return "" if scale in (None, REWARDS) else "@{:g}..{:g}".format(*scale)


def number_of(given: Json) -> float | None:
    """Return a number, also from a string; None for NaN and for anything else."""
    if isinstance(given, bool) or not isinstance(given, int | float | str):
        return None
    try:
        value = float(given)
    except ValueError:
        return None
    return None if math.isnan(value) else value


def rescaled(score: Score, scale: tuple[float, float]) -> Score | Unscored:
    """Return a score mapped linearly from its scale to 0..5; unscored if it is not on the scale."""
    low, high = scale
    if not low <= score.value <= high:
        reason = f"out of range: {score.value:g} is not in {low:g}..{high:g}"
        return Unscored(reason, score.version, Cause.OUT_OF_RANGE)
    if scale == REWARDS:
        return score
    return replace(score, value=REWARDS[1] * (score.value - low) / (high - low))
