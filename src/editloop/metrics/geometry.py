"""Regions of pictures for metrics, and resizing to a common size."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from editloop.schema import Mask, Pixels

__all__ = ["Place", "Region", "blackened", "region_of", "resized_to"]

Place: TypeAlias = Literal["whole", "inside", "outside"]
Region: TypeAlias = NDArray[np.bool_] | None  # [height, width]; None is everywhere


def region_of(mask: Mask | None, place: Place, size: tuple[int, ...]) -> Region | str:
    """Return the region of a picture with size (height, width), or why it has no pixels.

    A missing mask allows editing everywhere, an all-black one nowhere.
    """
    if place == "whole":
        return None
    if mask is not None and mask.shape != size:
        return f"the mask has {_written(mask.shape)} px, and the picture {_written(size)} px"
    inside = None if mask is None else mask > 127
    if inside is not None and not inside.any():
        return "the mask is all black: nothing lies inside it" if place == "inside" else None
    if inside is None or inside.all():
        return "the mask covers everything: nothing lies outside it" if place == "outside" else None
    return inside if place == "inside" else ~inside


def blackened(pixels: Pixels, region: Region) -> Pixels:
    """Return the picture, black outside the region."""
    return pixels if region is None else pixels * region[..., None]


def resized_to(pixels: Pixels, size: tuple[int, ...]) -> Pixels:
    """Return the picture resized to (height, width) by Pillow's bicubic filter."""
    if pixels.shape[:2] == size:
        return pixels
    image = Image.fromarray(pixels).resize((size[1], size[0]), Image.Resampling.BICUBIC)
    return np.array(image)


def _written(size: tuple[int, ...]) -> str:
    return f"{size[1]}x{size[0]}"
