"""Looks of weather and water; snow, rain and fog are random and take a seed."""

from __future__ import annotations

import cv2
import numpy as np

from editloop.darkroom.fields import (
    Floats,
    blur,
    clouds,
    floats,
    grid,
    merge,
    saturate,
    short_side,
    split,
)
from editloop.runtime.seeding import generator
from editloop.schema import Pixels

__all__ = ["fog", "rain", "snow", "underwater"]

_SHIFT = 4  # fractional bits of OpenCV's drawing coordinates


def fog(picture: Pixels, seed: int) -> Pixels:
    """Add a pale veil in drifting banks, thicker towards the top, where the distance is."""
    _, y = grid(picture)
    drift = clouds(picture, "fog", seed, cells=2, octaves=3)
    veil = np.clip(0.5 + 0.3 * (1 - y) + 0.5 * (drift - 0.5), 0.25, 0.93)[..., None]
    values = saturate(split(np.asarray(blur(picture, 0.006), np.uint8)), 0.7)
    return merge(values + (floats((0.84, 0.865, 0.885)) - values) * veil)


def snow(picture: Pixels, seed: int) -> Pixels:
    """Add flakes at three depths over a cold, pale scene."""
    values = saturate(split(picture), 0.62) * floats((0.74, 0.79, 0.86)) + 0.14
    rng = generator("snow", seed)
    for count, radius, soft in ((260, 0.0045, 0.0), (130, 0.009, 0.002), (34, 0.017, 0.006)):
        flakes = _flakes(picture, rng, count, radius)
        if soft:
            flakes = np.asarray(blur(flakes, soft), np.float32)
        values += (1 - values) * (0.95 * flakes)[..., None]
    return merge(values)


def _flakes(picture: Pixels, rng: np.random.Generator, count: int, radius: float) -> Floats:
    """Return the coverage [h, w] of random discs; those smaller than a pixel are drawn fainter."""
    height, width = picture.shape[:2]
    short = short_side(picture)
    plane = np.zeros((height, width), np.uint8)
    numbers = rng.random((round(count * max(height, width) / short), 3))
    for across, down, size in numbers:
        wanted = radius * short * (0.6 + 0.8 * size)
        drawn = max(wanted, 0.7)
        value = round(255 * max(0.28, min(1.0, wanted / drawn)))
        centre = (round(across * width * 2**_SHIFT), round(down * height * 2**_SHIFT))
        cv2.circle(plane, centre, round(drawn * 2**_SHIFT), value, -1, cv2.LINE_AA, _SHIFT)
    return plane.astype(np.float32) / 255


def rain(picture: Pixels, seed: int) -> Pixels:
    """Add slanted streaks over a dark, grey-blue scene."""
    values = saturate(split(picture), 0.45) * floats((0.56, 0.62, 0.7)) + 0.03
    rng = generator("rain", seed)
    height, width = picture.shape[:2]
    short = short_side(picture)
    slant = 0.22 + 0.08 * rng.random()
    for count, length, weight, light in ((170, 0.1, 0.0022, 0.42), (60, 0.19, 0.0042, 0.62)):
        plane = np.zeros((height, width), np.uint8)
        numbers = rng.random((round(count * max(height, width) / short), 3))
        thickness = max(1, round(weight * short))
        for across, down, size in numbers:
            reach = length * short * (0.6 + 0.8 * size)
            x, y = across * 1.3 * width, (down * 1.2 - 0.2) * height
            start = (round(x * 2**_SHIFT), round(y * 2**_SHIFT))
            stop = (round((x - slant * reach) * 2**_SHIFT), round((y + reach) * 2**_SHIFT))
            cv2.line(plane, start, stop, 255, thickness, cv2.LINE_AA, _SHIFT)
        # a streak thinner than a pixel is drawn fainter instead
        seen = light * max(0.5, min(1.0, weight * short))
        streaks = (plane.astype(np.float32) * (seen / 255))[..., None]
        values += (floats((0.86, 0.91, 0.97)) - values) * streaks
    return merge(values)


def underwater(picture: Pixels) -> Pixels:
    """Tint to blue-green depth, with shafts of light from above."""
    x, y = grid(picture)
    soft = split(np.asarray(blur(picture, 0.004), np.uint8))
    values = saturate(soft, 0.6) * floats((0.28, 0.78, 0.86))
    veil = (0.25 + 0.4 * y)[..., None]
    values += (floats((0.01, 0.3, 0.42)) - values) * veil
    along = x + 0.35 * y
    shafts = np.sin(along * 21) * np.sin(along * 8.3 + 1) + 0.5 * np.sin(along * 47 + 2)
    shafts = np.clip(shafts, 0, 1) ** 1.5 * np.clip(1.05 - y, 0, 1)
    return merge(values + shafts[..., None] * floats((0.2, 0.42, 0.4)))
