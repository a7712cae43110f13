"""Textures for objects and backgrounds: photographs (brick, grass, gravel) and drawn patterns.

The photographs are the grey textures bundled with scikit-image, colourised here. The patterns are
drawn in an object's own colour and a contrasting one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias

import cv2
import numpy as np

from editloop.darkroom.colours import Rgb, rgb
from editloop.darkroom.fields import Floats, floats
from editloop.errors import UnavailableError

__all__ = ["PATTERNS", "PHOTOGRAPHED", "TEXTURES", "cover", "sample"]

Ramp: TypeAlias = tuple[tuple[float, Rgb], ...]

_TILE = 256  # pixels along a drawn tile's side
_SUPER = 4  # supersampling factor of a drawn tile

# grey value (0..1 after stretching) -> colour
_RAMPS: Mapping[str, Ramp] = MappingProxyType(
    {
        "brick": ((0.0, (112, 38, 26)), (0.45, (176, 74, 50)), (0.8, (226, 208, 186))),
        "grass": ((0.0, (16, 44, 12)), (0.5, (66, 136, 38)), (1.0, (176, 214, 96))),
        "gravel": ((0.0, (30, 30, 34)), (0.5, (128, 126, 124)), (1.0, (232, 230, 224))),
    }
)
PHOTOGRAPHED = tuple(_RAMPS)


def _stripes(x: Floats, y: Floats) -> Floats:
    return np.where((x + y) * 5 % 1 < 0.5, 1, 0).astype(np.float32)


def _checks(x: Floats, y: Floats) -> Floats:
    return np.where((np.floor(x * 6) + np.floor(y * 6)) % 2 < 1, 1, 0).astype(np.float32)


def _dots(x: Floats, y: Floats) -> Floats:
    row = np.floor(y * 6)
    across = (x * 4 + 0.5 * (row % 2)) % 1 - 0.5
    down = (y * 6 % 1 - 0.5) / 1.5
    return np.where(across**2 + down**2 < 0.085, 1, 0).astype(np.float32)


_DRAWN: Mapping[str, Callable[[Floats, Floats], Floats]] = MappingProxyType(
    {"stripes": _stripes, "checks": _checks, "dots": _dots}
)
PATTERNS = tuple(_DRAWN)
TEXTURES = (*PHOTOGRAPHED, "wood", *PATTERNS)


def sample(name: str, colour: str, u: Floats, v: Floats, size: int) -> Floats:
    """Return a texture's RGB in 0..1 at texture coordinates [h, w], where 1 is an object's width.

    `size` is the object's width in pixels: the tile is shrunk first, to avoid aliasing.
    """
    tile = _tile(name, colour)
    side = min(tile.shape[0], max(8, size))
    if side < tile.shape[0]:
        tile = cv2.resize(tile, (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(
        cv2.remap(tile, u * side, v * side, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101),
        np.float32,
    )


def cover(name: str, height: int, width: int) -> Floats:
    """Return a photographed surface over a whole picture, [h, w, 3] in 0..1."""
    tile = _photograph(name, whole=True)
    side = max(height, width)
    scaled = cv2.resize(
        tile,
        (side, side),
        interpolation=cv2.INTER_AREA if side < tile.shape[0] else cv2.INTER_CUBIC,
    )
    return floats(np.clip(scaled[:height, :width], 0, 1))


@lru_cache(maxsize=64)
def _tile(name: str, colour: str) -> Floats:
    if name in _RAMPS:
        return _photograph(name, whole=False)
    side = _TILE * _SUPER
    x, y = np.meshgrid(*[(np.arange(side, dtype=np.float32) + 0.5) / side] * 2)
    if name == "wood":
        return floats(cv2.resize(_wood(x, y), (_TILE, _TILE), interpolation=cv2.INTER_AREA))
    share = cv2.resize(_DRAWN[name](x, y), (_TILE, _TILE), interpolation=cv2.INTER_AREA)
    first = floats(rgb(colour)) / 255
    second = floats(rgb(_partner(colour))) / 255
    return np.asarray(first + (second - first) * share[..., None], np.float32)


def _partner(colour: str) -> str:
    """Return a contrasting second colour for a pattern."""
    return "black" if colour in ("white", "yellow", "turquoise", "pink", "grey") else "white"


def _wood(x: Floats, y: Floats) -> Floats:
    """Return wooden planks: rings stretched along x, with a seam at every quarter."""
    plank = np.floor(y * 4)
    wave = 0.012 * np.sin(x * 9 + plank * 2.1) + 0.006 * np.sin(x * 23 + plank)
    rings = 0.5 + 0.5 * np.sin((y + wave + plank * 0.37) * 190 + 3 * np.sin(x * 3 + plank))
    light, dark = floats((0.82, 0.58, 0.33)), floats((0.52, 0.31, 0.14))
    seam = np.where(y * 4 % 1 < 0.05, 0.45, 1.0)
    tone = (0.9 + 0.1 * np.sin(plank * 2.6))[..., None]
    planks = light + (dark - light) * (0.15 + 0.55 * rings[..., None])
    return np.asarray(planks * tone * seam[..., None], np.float32)


@lru_cache(maxsize=8)
def _photograph(name: str, whole: bool) -> Floats:
    """Return a colourised texture photo, 0..1; only a corner (larger detail) unless `whole`."""
    import skimage

    path = Path(skimage.__file__).parent / "data" / f"{name}.png"
    grey = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if grey is None:
        raise UnavailableError(
            "a texture is not installed", value=name, command="pip install scikit-image"
        )
    if name == "brick":  # its courses are vertical in the photograph
        grey = cv2.rotate(grey, cv2.ROTATE_90_COUNTERCLOCKWISE)
    if not whole:
        # a corner with little perspective and few enough details for a small object
        side = {"brick": 200, "grass": 220, "gravel": 200}[name]
        grey = cv2.resize(grey[-side:, -side:], (_TILE, _TILE), interpolation=cv2.INTER_CUBIC)
    low, high = np.percentile(grey, (2, 98))
    value = np.clip((grey.astype(np.float32) - low) / (high - low), 0, 1)
    stops = floats([stop for stop, _ in _RAMPS[name]])
    channels = [
        np.interp(value, stops, [colour[i] / 255 for _, colour in _RAMPS[name]]) for i in range(3)
    ]
    return np.stack(channels, axis=-1).astype(np.float32)
