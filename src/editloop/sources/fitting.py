"""Pictures of one edit whose shapes differ: fitted to the source's size, or refused.

Editors that work in steps of 8 or 16 pixels, or at fixed sizes, return a shape that differs a
little: such a picture is resized (`images.shapes.is_near`). Beyond, it is stretched (`resize`), cut
at its longer side (`crop`) or given black borders (`pad`), around its centre, only where that is
asked for.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np

from editloop.images.codec import resize
from editloop.images.shapes import is_near

__all__ = ["Fit", "fits", "fitted"]

Fit: TypeAlias = Literal["refuse", "resize", "crop", "pad"]


def fits(size: tuple[int, int], source: tuple[int, int], fit: Fit) -> bool:
    """Return whether a picture of `size` (height, width) may be fitted to the source's."""
    return fit != "refuse" or is_near(size, source)


def fitted(pixels: Any, source: tuple[int, int], fit: Fit) -> Any:
    """Return a picture or mask in the source's size (height, width)."""
    size = pixels.shape[0], pixels.shape[1]
    if fit in ("refuse", "resize") or is_near(size, source):
        return resize(pixels, *source)
    scales = source[0] / size[0], source[1] / size[1]
    scale = max(scales) if fit == "crop" else min(scales)
    near = [max(1, round(side * scale)) for side in size]
    scaled = resize(pixels, *near)
    made = np.zeros((*source, *pixels.shape[2:]), pixels.dtype)
    of_made, of_scaled = zip(*map(_overlap, source, near), strict=True)
    made[of_made] = scaled[of_scaled]
    return made


def _overlap(whole: int, part: int) -> tuple[slice, slice]:
    """Return where two lengths with one centre overlap, in each of them."""
    length = min(whole, part)
    starts = (whole - length) // 2, (part - length) // 2
    return slice(starts[0], starts[0] + length), slice(starts[1], starts[1] + length)
