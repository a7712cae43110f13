"""Looks for backgrounds: new backdrops, and changes to the existing background."""

from __future__ import annotations

import numpy as np

from editloop.darkroom.colours import rgb
from editloop.darkroom.fields import (
    blur,
    clouds,
    floats,
    grey,
    grid,
    merge,
    saturate,
    split,
    vignette,
)
from editloop.darkroom.textures import cover
from editloop.runtime.seeding import generator
from editloop.schema import Pixels

__all__ = [
    "SKIES",
    "SURFACES",
    "blurred",
    "colourless",
    "dimmed",
    "plain",
    "sky",
    "surface",
    "tinted",
]

SURFACES = ("brick", "grass", "gravel")
SKIES = ("blue", "sunset", "starry")


def blurred(picture: Pixels) -> Pixels:
    """Blur the picture as far out of focus."""
    return np.asarray(blur(picture, 0.035), np.uint8)


def colourless(picture: Pixels) -> Pixels:
    """Turn the picture grey and a little lighter, so that a coloured subject stands out."""
    return merge(0.08 + 0.86 * grey(picture))


def dimmed(picture: Pixels) -> Pixels:
    """Darken the picture as outside a spotlight."""
    return merge(saturate(split(picture), 0.7) * 0.2)


def tinted(picture: Pixels, colour: str) -> Pixels:
    """Map luminance to shades of one colour, from dark to pale."""
    light = grey(picture)[..., None]
    tint = floats(rgb(colour)) / 255
    level = float(tint.mean())
    # the colour itself appears at middle grey; towards black and white it fades
    low = tint * np.clip(light / 0.5, 0.12, 1)
    high = tint + (1 - tint) * np.clip((light - 0.5) / 0.5, 0, 1) * (0.7 * (1 - 0.3 * level))
    return merge(np.where(light < 0.5, low, high))


def plain(picture: Pixels, colour: str) -> Pixels:
    """Return a studio backdrop: one colour, lighter in the middle."""
    tint = floats(rgb(colour)) / 255
    light = vignette(picture, 0.42)
    return merge((tint + (1 - tint) * 0.12) * light)


def surface(picture: Pixels, surface: str) -> Pixels:
    """Return a brick wall, a lawn, or a bed of gravel."""
    height, width = picture.shape[:2]
    return merge(cover(surface, height, width))


def sky(picture: Pixels, sky: str) -> Pixels:
    """Return a sky: blue with clouds, a sunset, or a starry night."""
    if sky == "starry":
        return _starry(picture)
    _, y = grid(picture)
    high, low, dark, bright = (floats(tone) for tone in _SKIES[sky])
    values = high + (low - high) * (y**0.8)[..., None]
    drift = clouds(picture, "sky", sky, cells=3, octaves=5)[..., None]
    share = 0.85 * np.clip((drift - 0.5) / 0.16, 0, 1)
    return merge(values + (dark + (bright - dark) * drift - values) * share)


_SKIES = {  # zenith, horizon, dark parts of clouds, bright parts of clouds
    "blue": ((0.16, 0.42, 0.8), (0.68, 0.84, 0.96), (0.86, 0.88, 0.92), (1.0, 1.0, 1.0)),
    "sunset": ((0.22, 0.14, 0.4), (1.0, 0.6, 0.2), (0.62, 0.2, 0.36), (1.0, 0.55, 0.36)),
}


def _starry(picture: Pixels) -> Pixels:
    _, y = grid(picture)
    haze = clouds(picture, "milky way", cells=3, octaves=4)[..., None]
    low = floats((0.1, 0.12, 0.3)) * y[..., None]
    values = floats((0.01, 0.015, 0.06)) + low + floats((0.16, 0.12, 0.26)) * haze**3
    height, width = picture.shape[:2]
    stars = np.zeros((height, width), np.float32)
    numbers = generator("stars").random((220, 3))
    rows = (numbers[:, 0] * height).astype(np.int64)
    columns = (numbers[:, 1] * width).astype(np.int64)
    np.maximum.at(stars, (rows, columns), (0.25 + 0.75 * numbers[:, 2] ** 3).astype(np.float32))
    sharp = np.asarray(blur(stars, 0.0022), np.float32)
    sharp *= stars.max() / max(float(sharp.max()), 1e-6)
    return merge(values + sharp[..., None] * floats((1.0, 0.98, 0.92)))
