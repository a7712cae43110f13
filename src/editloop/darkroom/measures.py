"""Picture measures used by the truth judge; pure functions, in levels of 0-255."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from editloop.schema import Pixels

__all__ = [
    "Floats",
    "cells",
    "contrast",
    "correlation",
    "grid_steps",
    "levels",
    "luminance",
    "progress",
]

Floats: TypeAlias = NDArray[np.float32]

_EDGE = 40.0  # levels; larger steps are the photo's own edges


def luminance(pixels: Pixels) -> Floats:
    """Return Rec. 601 luma, [h, w], 0-255."""
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.float32)


def cells(image: Floats, count: int) -> Floats:
    """Return the means over square cells, with `count` cells along the shorter side."""
    height, width = image.shape[:2]
    edge = min(height, width) / count
    size = (max(1, round(width / edge)), max(1, round(height / edge)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.float32)


def progress(source: Floats, target: Floats, edited: Floats, weight: Floats | float = 1.0) -> float:
    """Return the progress of `edited` from source to target: the projection's coefficient."""
    way = target - source
    length = float((weight * way * way).sum())
    return float((weight * way * (edited - source)).sum()) / length if length > 1e-3 else 0.0


def correlation(first: Floats, second: Floats) -> float:
    """Return Pearson's correlation, with one level of slack: flat images do not correlate."""
    one, two = first - first.mean(), second - second.mean()
    return float((one * two).mean() / ((one * one).mean() * (two * two).mean() + 1) ** 0.5)


def contrast(image: Floats, known: Sequence[Floats], region: Floats) -> float:
    """Return a picture's contrast in a region, as a share of the lowest of the known pictures'."""
    least = min(_deviation(other, region) for other in known)
    return _deviation(image, region) / (least + 1e-6)


def _deviation(image: Floats, region: Floats) -> float:
    total = max(float(region.sum()), 1.0)
    mean = float((region * image).sum()) / total
    return float((float((region * (image - mean) ** 2).sum()) / total) ** 0.5)


def levels(pixels: Pixels) -> float:
    """Return the effective number of levels in use: the exponential of the histogram's entropy."""
    counts = np.stack([np.bincount(pixels[..., i].ravel(), minlength=256) for i in range(3)])
    shares = counts / counts.sum(1, keepdims=True)
    entropy = -(shares * np.log(np.maximum(shares, 1e-12))).sum(1)
    return float(np.exp(entropy.mean()))


def grid_steps(change: Floats) -> float:
    """Return the excess of steps across JPEG's 8x8 block borders over those within, in levels."""
    excess = 0.0
    for image in (change, change.T):
        steps = np.minimum(np.abs(np.diff(image, axis=1)), _EDGE).mean(0)
        borders = np.arange(len(steps)) % 8 == 7
        if borders.any():
            excess += float(steps[borders].mean() - steps[~borders].mean()) / 2
    return excess
