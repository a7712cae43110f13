"""Props: objects rendered onto a photo, with known pixels.

`draw` draws a prop over a picture; `body` and `reach` return the pixels that it may touch. A prop's
position and size are fractions of the picture, so the same prop fits every resolution.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from math import ceil, log2

import cv2
import numpy as np
from numpy.typing import NDArray

from editloop.darkroom.brush import MARGIN, PAINT_RANGE, Brush, Sprite
from editloop.darkroom.colours import rgb
from editloop.darkroom.fields import Floats, floats
from editloop.darkroom.shapes import SHAPES
from editloop.darkroom.textures import PATTERNS, sample
from editloop.schema import Json, Pixels

__all__ = ["KINDS", "Prop", "body", "draw", "reach"]

KINDS = tuple(SHAPES)

_FINEST = 1024  # pixels per unit: larger props are enlarged from this
_SMALLEST = 128


@dataclass(frozen=True, slots=True)
class Prop:
    """An object on a photo: centre as fractions of width and height, size of the short side."""

    kind: str
    colour: str
    x: float
    y: float
    size: float
    texture: str = ""

    @property
    def description(self) -> str:
        """The prop's description, such as "red ball", "brick ball" or "striped red ball"."""
        if not self.texture:
            return f"{self.colour} {self.kind}"
        if self.texture in PATTERNS:
            return f"{_PATTERNED[self.texture]} {self.colour} {self.kind}"
        return f"{_MADE_OF[self.texture]} {self.kind}"

    def to_json(self) -> dict[str, Json]:
        """Return the prop as JSON; `from_json` reads it back."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Json]) -> Prop:
        """Return the prop that `to_json` wrote."""
        return cls(**value)


_PATTERNED = {"stripes": "striped", "checks": "checked", "dots": "dotted"}
_MADE_OF = {"brick": "brick", "grass": "grass-covered", "gravel": "gravel", "wood": "wooden"}


def draw(picture: Pixels, prop: Prop) -> Pixels:
    """Draw the prop over the picture; pixels outside `reach` keep the same bytes."""
    place = _Place.of(picture.shape, prop)
    sprite = place.sprite(prop.kind)
    planes = sprite.astype(np.float32) / 255
    alpha, paint, shadow = planes[..., 0:1], planes[..., 1:2] * PAINT_RANGE, planes[..., 5:6]
    behind = picture[place.window].astype(np.float32) / 255
    drawn = behind * ((1 - shadow) * (1 - alpha)) + paint * _surface(prop, place)
    drawn += planes[..., 2:5]
    touched = (sprite[..., 0:1] > 0) | (sprite[..., 5:6] > 0)
    result = picture.copy()
    result[place.window] = np.where(
        touched, np.round(np.clip(drawn, 0, 1) * 255).astype(np.uint8), picture[place.window]
    )
    return result


def body(shape: tuple[int, ...], prop: Prop, *, opaque: bool = False) -> NDArray[np.bool_]:
    """Return the pixels of the object itself, [h, w]; with `opaque`, only its fully opaque ones."""
    place = _Place.of(shape, prop)
    return place.spread(shape, place.sprite(prop.kind)[..., 0] > (254 if opaque else 0))


def reach(shape: tuple[int, ...], prop: Prop) -> NDArray[np.bool_]:
    """Return the pixels that the object or its shadow touches, [h, w]."""
    place = _Place.of(shape, prop)
    sprite = place.sprite(prop.kind)
    return place.spread(shape, (sprite[..., 0] > 0) | (sprite[..., 5] > 0))


@dataclass(frozen=True, slots=True)
class _Place:
    """A sprite's position: the window in the picture, and the part of the sprite inside it."""

    side: int  # pixels of the prop's size
    window: tuple[slice, slice]
    part: tuple[slice, slice]

    @classmethod
    def of(cls, shape: tuple[int, ...], prop: Prop) -> _Place:
        height, width = shape[:2]
        side = max(4, round(prop.size * min(height, width)))
        whole = round(side * (1 + 2 * MARGIN))
        top = round(prop.y * height - whole / 2)
        left = round(prop.x * width - whole / 2)
        rows, sprite_rows = _overlap(top, whole, height)
        columns, sprite_columns = _overlap(left, whole, width)
        return cls(side, (rows, columns), (sprite_rows, sprite_columns))

    def sprite(self, kind: str) -> Sprite:
        return _sized(kind, self.side)[self.part]

    def spread(self, shape: tuple[int, ...], part: NDArray[np.bool_]) -> NDArray[np.bool_]:
        whole = np.zeros(shape[:2], np.bool_)
        whole[self.window] = part
        return whole


def _overlap(start: int, length: int, limit: int) -> tuple[slice, slice]:
    """Return the part of start..start+length inside 0..limit, in both coordinates."""
    first, last = max(start, 0), min(start + length, limit)
    last = max(first, last)
    return slice(first, last), slice(first - start, last - start)


def _surface(prop: Prop, place: _Place) -> Floats:
    """Return the prop's own colour, [1, 1, 3], or its texture, [h, w, 3]; 0..1."""
    if not prop.texture:
        return floats(rgb(prop.colour)).reshape(1, 1, 3) / 255
    whole = round(place.side * (1 + 2 * MARGIN))
    axis = (np.arange(whole, dtype=np.float32) + 0.5) / place.side - MARGIN
    x, y = np.meshgrid(axis[place.part[1]], axis[place.part[0]])
    u, v = _WRAPS[SHAPES[prop.kind].wrap](x, y)
    return sample(prop.texture, prop.colour, u, v, place.side)


def _flat(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    return x, y


def _tube(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    return 0.5 + np.arcsin(np.clip(2 * x - 1, -1, 1)) / np.pi, y


def _round(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    across, down = np.clip(2 * x - 1, -1, 1), np.clip(2 * y - 1, -1, 1)
    depth = np.sqrt(np.clip(1 - across**2 - down**2, 0, 1))
    pi = np.pi
    return 0.5 + np.arctan2(across, depth) / pi, 0.5 + np.arcsin(down) / pi


_WRAPS = {"flat": _flat, "tube": _tube, "round": _round}


@lru_cache(maxsize=4)  # one edit draws and masks the same sprite several times
def _sized(kind: str, side: int) -> Sprite:
    """Return a sprite at the required size."""
    finest = min(_FINEST, max(_SMALLEST, 2 ** ceil(log2(1.5 * side))))
    master = _master(kind, finest) if finest < _FINEST else _drawn(kind, finest)
    whole = round(side * (1 + 2 * MARGIN))
    shrinking = whole < len(master)
    how = cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR
    halves = (master[..., :3], master[..., 3:])  # OpenCV resizes four channels at most
    return np.dstack([cv2.resize(half, (whole, whole), interpolation=how) for half in halves])


@lru_cache(maxsize=32)
def _master(kind: str, resolution: int) -> Sprite:
    return _drawn(kind, resolution)


def _drawn(kind: str, resolution: int) -> Sprite:
    shape = SHAPES[kind]
    brush = Brush(resolution)
    shape.draw(brush)
    return brush.sprite(brush.drop() if shape.foot is None else brush.cast(shape.foot))
