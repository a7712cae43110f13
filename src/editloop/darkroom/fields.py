"""Building blocks of looks: curves, blurs, noise and fields that do not depend on the resolution.

Lengths are fractions of the short side; noise is defined on a grid over the whole picture, so that
a small and a large copy of a photo get the same fog.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from editloop.runtime.seeding import generator
from editloop.schema import Pixels

__all__ = [
    "Floats",
    "blur",
    "clouds",
    "curve",
    "flatten",
    "floats",
    "grey",
    "grid",
    "merge",
    "nearest_seeds",
    "saturate",
    "short_side",
    "split",
    "vignette",
]

Floats: TypeAlias = NDArray[np.floating[Any]]  # float32 where speed or memory matters

_LUMA = np.asarray((0.299, 0.587, 0.114), np.float32)


def floats(values: ArrayLike) -> NDArray[np.float32]:
    """Convert values, such as a colour or a table, to a float32 array."""
    return np.asarray(values, np.float32)


def short_side(picture: NDArray[np.generic]) -> int:
    """Return the shorter side of a picture in pixels."""
    return int(min(picture.shape[:2]))


def split(picture: Pixels) -> Floats:
    """Convert pixels to floats in 0..1."""
    return picture.astype(np.float32) / 255


def merge(values: Floats) -> Pixels:
    """Convert floats in 0..1 (clipped) to pixels; one channel becomes three."""
    if values.ndim == 2:
        values = np.repeat(values[..., None], 3, axis=2)
    return np.asarray(np.round(np.clip(values, 0, 1) * 255), np.uint8)


def grey(picture: Pixels) -> Floats:
    """Return the luminance in 0..1, [h, w]."""
    return split(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY))


def curve(picture: Pixels, inputs: Sequence[float], outputs: Sequence[float]) -> Pixels:
    """Apply a tone curve through points in 0..1, the same for every channel."""
    table = np.interp(np.arange(256) / 255, inputs, outputs)
    return np.asarray(cv2.LUT(picture, np.round(np.clip(table, 0, 1) * 255).astype(np.uint8)))


def saturate(values: Floats, factor: float) -> Floats:
    """Move colours away from (factor > 1) or towards (< 1) their own luminance."""
    light = (values @ _LUMA)[..., None]
    return np.asarray(light + (values - light) * factor, np.float32)


def blur(values: NDArray[np.generic], fraction: float) -> NDArray[np.generic]:
    """Apply a Gaussian blur whose sigma is a fraction of the short side, at a bounded cost.

    A wide blur is computed on a smaller copy, which loses nothing that survives the blur.
    """
    sigma = max(fraction * short_side(values), 0.3)
    if sigma <= 8:
        return np.asarray(cv2.GaussianBlur(values, (0, 0), sigma))
    height, width = values.shape[:2]
    shrink = 4 / sigma
    size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
    small = cv2.resize(values, size, interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), sigma * size[0] / width)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC))


def grid(picture: NDArray[np.generic]) -> tuple[Floats, Floats]:
    """Return the x and y of every pixel as fractions of width and height, [h, w]."""
    height, width = picture.shape[:2]
    x = (np.arange(width, dtype=np.float32) + 0.5) / width
    y = (np.arange(height, dtype=np.float32) + 0.5) / height
    across, down = np.meshgrid(x, y)
    return across, down


def vignette(picture: NDArray[np.generic], strength: float) -> Floats:
    """Return a field of 1 in the middle, falling to 1 - strength in the corners, [h, w, 1]."""
    x, y = grid(picture)
    distance = np.sqrt((x - 0.5) ** 2 + (y - 0.5) ** 2) / 0.5**0.5
    fall = np.clip((distance - 0.3) / 0.7, 0, 1)
    return np.asarray(1 - strength * (fall * fall * (3 - 2 * fall))[..., None])


def clouds(
    picture: NDArray[np.generic], *seed: str | int, cells: int = 4, octaves: int = 4
) -> Floats:
    """Return fractal value noise in 0..1, [h, w]; octaves double the cells and halve the weight."""
    height, width = picture.shape[:2]
    total = np.zeros((height, width), np.float32)
    for octave in range(octaves):
        count = cells * 2**octave + 3
        values = generator("clouds", octave, *seed).random((count, count), dtype=np.float32)
        total += cv2.resize(values, (width, height), interpolation=cv2.INTER_CUBIC) / 2**octave
    return np.asarray(np.clip(total / (2 - 2.0 ** (1 - octaves)), 0, 1), np.float32)


def flatten(picture: Pixels, radius: int) -> Pixels:
    """Apply Kuwahara's filter: each pixel gets the mean of the corner window of least variance.

    Kuwahara et al., "Processing of RI-angiocardiographic images", 1976; variance of luminance.
    """
    side = radius + 1
    light = grey(picture)
    values = split(picture)
    best = np.full(light.shape, np.inf, np.float32)
    result = values.copy()
    for anchor in ((0, 0), (0, radius), (radius, 0), (radius, radius)):
        mean = cv2.boxFilter(light, -1, (side, side), anchor=anchor)
        variance = cv2.boxFilter(light * light, -1, (side, side), anchor=anchor) - mean * mean
        colour = cv2.boxFilter(values, -1, (side, side), anchor=anchor)
        calmer = variance < best
        best = np.where(calmer, variance, best)
        result[calmer] = colour[calmer]
    return merge(result)


def nearest_seeds(
    picture: Pixels, cell: float, *seed: str | int
) -> tuple[NDArray[np.int32], Floats, NDArray[np.int64]]:
    """Return each pixel's nearest seed of a jittered grid, its distance, and the seeds' (y, x)."""
    height, width = picture.shape[:2]
    rows, columns = max(2, round(height / cell)), max(2, round(width / cell))
    jitter = generator("seeds", *seed).random((rows, columns, 2))
    down = (np.arange(rows)[:, None] + 0.1 + 0.8 * jitter[..., 0]) * height / rows
    across = (np.arange(columns)[None] + 0.1 + 0.8 * jitter[..., 1]) * width / columns
    places = np.stack([down, across], axis=-1).reshape(-1, 2).astype(np.int64)
    plane = np.full((height, width), 255, np.uint8)
    plane[places[:, 0], places[:, 1]] = 0
    distance, labels = cv2.distanceTransformWithLabels(
        plane, cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    # OpenCV numbers the seeds in its own order: read each seed's label at its position
    order = np.zeros(int(labels.max()) + 1, np.int32)
    order[labels[places[:, 0], places[:, 1]]] = np.arange(len(places))
    return order[labels], distance, places
