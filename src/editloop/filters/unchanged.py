"""A test of whether an edit changed anything: small edits against compression and coding noise.

Means of the difference over square windows are compared with their own spread in the same picture:
noise of every kind, however smooth, has windows alike where the photo is alike, and an edit has
windows far outside. A mean over all pixels, or SSIM, cannot tell an edit of 0.1% of the area from
compression.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["Change", "measure_change"]

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]

_WINDOWS = (6, 12, 24, 48)  # sides in pixels
_BINS = 8  # of local contrast
_LEAST = 1.0  # levels of 255: the smallest spread that is assumed of an encoded target
_EXACT = 0.2  # the same where most pixels are equal, so that nothing was encoded again
_EQUAL = 0.9  # share of equal pixels
_LOCAL = 12.5  # spreads: a window beyond this is an edit; between noise (11) and edits (15)
_MEAN = 2.0  # levels of 255: a common change of a channel
_SLOPE = 0.03  # a change of contrast
_FAR = 14.0  # levels of 255: root mean square of a change that no encoding makes
_COARSE = 64  # pixels: the scale at which contrast is compared


@dataclass(frozen=True, slots=True)
class Change:
    """The evidence of a change, each number beside the threshold that it has to reach.

    `local` is the largest mean difference of a window, in spreads of such windows; `mean` the
    largest common difference of a channel and `rms` the root mean square, in levels of 255; `slope`
    the relative change of coarse contrast.
    """

    local: float
    mean: float
    slope: float
    rms: float

    @property
    def changed(self) -> bool:
        """Return whether any of them reaches its threshold."""
        return (
            self.local >= _LOCAL or self.mean >= _MEAN or self.slope >= _SLOPE or self.rms >= _FAR
        )


def measure_change(source: Pixels, target: Pixels) -> Change:
    """Return the evidence that `target` differs from `source` by more than encoding noise.

    Both are [height, width, 3] in 0..255, registered, and of one size. Raises ValueError otherwise.
    """
    if source.shape != target.shape or source.ndim != 3:
        raise ValueError(f"pictures of one size are needed: {source.shape} and {target.shape}")
    before, after = (_opponent(picture) for picture in (source, target))
    difference = after - before
    contrast = _local_contrast(before[..., 0])
    equal = float((source == target).all(axis=2).mean())
    least = _EXACT if equal >= _EQUAL else _LEAST
    local = max(_farthest(difference, contrast, side, least) for side in _windows(source.shape))
    return Change(
        local=local,
        mean=float(np.abs(np.median(difference, axis=(0, 1))).max()),
        slope=_contrast_slope(before[..., 0], difference[..., 0]),
        rms=float(np.sqrt((difference[..., 0] ** 2).mean())),
    )


def _opponent(picture: Pixels) -> Floats:
    """Return luminance and two colour differences, [height, width, 3], in levels of 255."""
    red, green, blue = np.moveaxis(picture.astype(np.float32), 2, 0)
    luminance = 0.299 * red + 0.587 * green + 0.114 * blue
    return np.stack([luminance, (red - luminance) / 2, (blue - luminance) / 2], axis=2)


def _windows(shape: tuple[int, ...]) -> list[int]:
    """Return the windows that fit into the picture at least four times each way."""
    return [side for side in _WINDOWS if 4 * side <= min(shape[:2])] or [_WINDOWS[0]]


def _local_contrast(luminance: Floats) -> Floats:
    """Return the standard deviation of luminance around each pixel."""
    mean = cv2.blur(luminance, (15, 15))
    square = cv2.blur(luminance**2, (15, 15))
    deviation: Floats = np.sqrt(np.maximum(square - mean**2, 0))
    return deviation


def _farthest(difference: Floats, contrast: Floats, side: int, least: float) -> float:
    """Return the largest window mean in spreads of the windows at a like local contrast."""
    step = max(1, side // 3)
    means = np.abs(cv2.blur(difference, (side, side)))[side // 2 :: step, side // 2 :: step]
    activity = cv2.blur(contrast, (side, side))[side // 2 :: step, side // 2 :: step]
    edges = np.quantile(activity, np.linspace(0, 1, _BINS + 1)[1:-1])
    place = np.searchsorted(edges, activity)
    farthest = 0.0
    for each in np.unique(place):
        found = means[place == each]  # [windows, channels]
        spread = np.maximum(1.4826 * np.median(found, axis=0), least)
        farthest = max(farthest, float((found / spread).max()))
    return farthest


def _contrast_slope(luminance: Floats, difference: Floats) -> float:
    """Return the slope of the difference on luminance, both at a coarse scale."""
    size = (max(2, luminance.shape[1] // _COARSE), max(2, luminance.shape[0] // _COARSE))
    x, y = (
        cv2.resize(each, size, interpolation=cv2.INTER_AREA).ravel()
        for each in (luminance, difference)
    )
    x = x - x.mean()
    spread = float(x @ x)
    return abs(float(x @ (y - y.mean())) / spread) if spread > 0 else 0.0
