"""Compute the size an editor works at, and resize pictures to it and back.

An editor's networks need sides that are multiples of some pixels and were trained near one size. So
the picture is scaled, keeping its aspect ratio up to rounding, and the result is scaled back to the
picture's own size. The mask is scaled to the same size. InstructPix2Pix's rule crops the picture to
the working size's aspect ratio instead of distorting it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np
from PIL import Image, ImageOps
from pydantic import Field, model_validator

from editloop.models.masks import resized_mask
from editloop.schema import Json, Mask, Pixels
from editloop.settings import Settings as BaseSettings

__all__ = [
    "VERSION",
    "Filter",
    "Size",
    "Sizing",
    "fitted",
    "fitted_mask",
    "fitted_picture",
    "nearest_in_shape",
    "resized",
    "scaled_back",
]

VERSION = "2"  # of the rules below, which are part of the editors' fingerprints

Filter: TypeAlias = Literal["lanczos", "bicubic", "bilinear", "area"]
Size: TypeAlias = tuple[int, int]  # height, width

_MOST = 16_384  # the longest side that a rule may set, in pixels

_RESAMPLING = {
    "lanczos": Image.Resampling.LANCZOS,
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "area": Image.Resampling.BOX,
}


class Sizing(BaseSettings):
    """A rule for the working size: it fixes one side, the area, or keeps the picture's own size.

    In a SPEC it is written as text: `long_side:512,multiple:64`.
    """

    long_side: int | None = Field(
        default=None, ge=1, le=_MOST, description="pixels of the longer side"
    )
    short_side: int | None = Field(
        default=None, ge=1, le=_MOST, description="pixels of the shorter side"
    )
    side: int | None = Field(
        default=None, ge=1, le=_MOST, description="side of a square with the working area"
    )
    multiple: int = Field(default=8, ge=1, le=_MOST, description="both sides are multiples of this")
    filter: Filter = Field(default="lanczos", description="Pillow's filter for the picture")
    rounding: Literal["nearest", "instruct-pix2pix"] = Field(
        default="nearest",
        description="nearest: each side to the nearest multiple; instruct-pix2pix: as its released "
        "command does, the shorter side up, then the longer one, scaled with it, down; the middle "
        "of the picture is cropped to that aspect ratio",
    )

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Json) -> Json:
        if isinstance(value, int) or (isinstance(value, str) and value.strip().isdigit()):
            raise ValueError(
                f"a number alone does not say which side: write long_side:{value}, "
                f"short_side:{value}, or side:{value} for a square of that area"
            )
        if not isinstance(value, str):
            return value
        pairs = [pair.partition(":") for pair in value.split(",")]
        return {key: each for key, _, each in pairs}

    @property
    def crops(self) -> bool:
        """True if the picture is cropped to the working size's aspect ratio, not distorted."""
        return self.rounding == "instruct-pix2pix"

    @model_validator(mode="after")
    def _one_rule(self) -> Sizing:
        named = [
            name for name in ("long_side", "short_side", "side") if getattr(self, name) is not None
        ]
        if len(named) > 1:
            raise ValueError(f"{named[0]} and {named[1]} exclude each other")
        return self


def fitted(height: int, width: int, sizing: Sizing) -> Size:
    """Return the working height and width for a picture of a height and width.

    Each side is scaled by the same factor, then rounded to the nearest multiple (up in a tie), at
    least one multiple, unless `sizing.rounding` sets another rule.
    """
    factor = _factor(height, width, sizing)
    if sizing.rounding == "instruct-pix2pix":
        # The same arithmetic as the released code: rounding errors decide at exact multiples.
        shorter = min(height, width)
        factor = math.ceil(shorter * factor / sizing.multiple) * sizing.multiple / shorter
        return _floored(height * factor, sizing.multiple), _floored(width * factor, sizing.multiple)
    return _rounded(height * factor, sizing.multiple), _rounded(width * factor, sizing.multiple)


def nearest_in_shape(height: int, width: int, sizes: Sequence[Size]) -> Size:
    """Return the size whose ratio of width to height is nearest to a picture's."""
    return min(sizes, key=lambda size: abs(width / height - size[1] / size[0]))


def resized(pixels: Pixels, size: Size, filter: Filter = "lanczos") -> Pixels:
    """Resize a picture with Pillow's filter of that name (`area` is its box filter)."""
    if pixels.shape[:2] == size:
        return pixels
    return np.array(Image.fromarray(pixels).resize(size[::-1], _RESAMPLING[filter]))


def fitted_picture(pixels: Pixels, size: Size, sizing: Sizing) -> Pixels:
    """Return a picture at its working size: resized, or cropped and resized if the rule crops.

    The crop is that of `PIL.ImageOps.fit`, as in InstructPix2Pix's released command.
    """
    if not sizing.crops or pixels.shape[:2] == size:
        return resized(pixels, size, sizing.filter)
    method = _RESAMPLING[sizing.filter]
    return np.array(ImageOps.fit(Image.fromarray(pixels), size[::-1], method))


def fitted_mask(mask: Mask, size: Size, sizing: Sizing) -> Mask:
    """Return a mask at the working size, cropped as its picture is."""
    return resized_mask(mask[_crop(mask.shape, size)] if sizing.crops else mask, size)


def scaled_back(edited: Pixels, image: Pixels, sizing: Sizing) -> Pixels:
    """Return a result at the size of the image that was edited.

    What a crop left out keeps the image's pixels.
    """
    if not sizing.crops:
        return resized(edited, image.shape[:2], sizing.filter)
    whole, place = image.copy(), _crop(image.shape, edited.shape[:2])
    whole[place] = resized(edited, whole[place].shape[:2], sizing.filter)
    return whole


def _crop(shape: tuple[int, ...], size: Size) -> tuple[slice, slice]:
    """Return the rows and columns of a picture's middle that has the aspect ratio of `size`."""
    height, width = shape[:2]
    rows = min(height, max(1, round(width * size[0] / size[1])))
    columns = min(width, max(1, round(height * size[1] / size[0])))
    top, left = (height - rows) // 2, (width - columns) // 2
    return slice(top, top + rows), slice(left, left + columns)


def _factor(height: int, width: int, sizing: Sizing) -> float:
    if sizing.long_side is not None:
        return sizing.long_side / max(height, width)
    if sizing.short_side is not None:
        return sizing.short_side / min(height, width)
    if sizing.side is not None:
        return sizing.side / math.sqrt(height * width)
    return 1.0


def _floored(length: float, multiple: int) -> int:
    return max(1, int(length // multiple)) * multiple


def _rounded(length: float, multiple: int) -> int:
    return max(1, math.floor(length / multiple + 0.5)) * multiple
