"""The angle between embeddings, and a value that may be missing as a score."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from editloop.schema import Cause, Score, Unscored

__all__ = ["cosine", "scored", "unit"]


def unit(vector: NDArray[np.floating]) -> NDArray[np.float64]:
    """The vector at length 1, in float64; not a number where its length is 0."""
    exact = vector.astype(np.float64)
    with np.errstate(invalid="ignore"):
        made: NDArray[np.float64] = exact / np.linalg.norm(exact)
    return made


def cosine(first: NDArray[np.floating], second: NDArray[np.floating]) -> float | str:
    """The cosine of the angle between two vectors, in [-1, 1], or why there is none."""
    value = float(unit(first) @ unit(second))
    if not np.isfinite(value):
        return "an embedding of length 0 has no direction"
    return max(-1.0, min(1.0, value))


def scored(value: float | str, version: str) -> Score | Unscored:
    """A value as a score; a text is why there is none."""
    return (
        Unscored(value, version, Cause.NOT_MEASURABLE)
        if isinstance(value, str)
        else Score(value, version=version)
    )
