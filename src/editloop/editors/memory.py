"""Explain out-of-memory errors of models, with settings that need less memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from editloop.editors.geometry import Size
from editloop.errors import RecipeError

__all__ = ["explained_memory"]

_LACKS = "allocate memory"  # in torch's message for a CPU, a plain RuntimeError


@contextmanager
def explained_memory(count: int, size: Size) -> Iterator[None]:
    """Convert an out-of-memory error for `count` pictures of a size to a RecipeError."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        known = isinstance(error, MemoryError | torch.OutOfMemoryError) or _LACKS in str(error)
        if not known:
            raise
        raise RecipeError(
            "not enough memory to work at this size",
            value=f"{count} x {size[1]}x{size[0]} pixels",
            fix="set a smaller `size`, a smaller `batch`, or precision bf16",
        ) from error
