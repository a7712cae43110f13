"""Cosines of embeddings, and the conversion of a value or a reason to a score."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from editloop.schema import Cause, Score, Unscored

__all__ = ["cosine", "scored", "unit"]


def unit(vector: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the vector scaled to length 1, in float64; NaN if its length is 0."""
    exact = vector.astype(np.float64)
    with np.errstate(invalid="ignore"):
        made: NDArray[np.float64] = exact / np.linalg.norm(exact)
    return made


def cosine(first: NDArray[np.floating], second: NDArray[np.floating]) -> float | str:
    """Return the cosine of the angle between two vectors, in [-1, 1], or the reason for none."""
    value = float(unit(first) @ unit(second))
    if not np.isfinite(value):
        return "an embedding of length 0 has no direction"
    return max(-1.0, min(1.0, value))


def scored(value: float | str, version: str) -> Score | Unscored:
    """Return a value as a score, or a text as the reason for a missing one."""
    if isinstance(value, str):
        return Unscored(value, version, Cause.NOT_MEASURABLE)
    return Score(value, version=version)
