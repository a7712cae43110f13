"""The check that a network's decoded values are a picture."""

from __future__ import annotations

from torch import Tensor

from editloop.errors import RecipeError

__all__ = ["checked_values"]


def checked_values(values: Tensor) -> Tensor:
    """Return decoded values; raise RecipeError if some are NaN or infinite.

    Converted to pixels, they would be black or white without a word.
    """
    if not values.isfinite().all():
        raise RecipeError(
            "the decoded picture has NaN or infinite values",
            fix="write precision=fp32, or lower the guidance scales",
        )
    return values
