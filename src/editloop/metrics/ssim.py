"""The structural similarity (SSIM) of two pictures, with the windows that papers use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from editloop.schema import Pixels

__all__ = ["GAUSSIAN", "UNIFORM", "Window", "ssim_map"]

_C1, _C2 = np.float32(0.01**2), np.float32(0.03**2)
_WHITE = np.float32(255)


@dataclass(frozen=True, slots=True)
class Window:
    """A window of SSIM: its side in pixels, its weights, and a factor of the covariances."""

    side: int
    blur: Callable[[NDArray[np.float32]], NDArray[np.float32]]
    factor: float = 1.0

    @property
    def edge(self) -> int:
        """The pixels at a border where the window does not fit."""
        return self.side // 2


def _gaussian(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Wang et al. 2004, section III-C: 11 px, a standard deviation of 1.5."""
    blurred: NDArray[np.float32] = cv2.GaussianBlur(
        values, (11, 11), 1.5, borderType=cv2.BORDER_REFLECT
    )
    return blurred


def _uniform(values: NDArray[np.float32]) -> NDArray[np.float32]:
    averaged: NDArray[np.float32] = cv2.blur(values, (7, 7), borderType=cv2.BORDER_REFLECT)
    return averaged


GAUSSIAN = Window(11, _gaussian)
UNIFORM = Window(7, _uniform, 49 / 48)  # scikit-image's default, with sample covariances


def ssim_map(first: Pixels, second: Pixels, window: Window = GAUSSIAN) -> NDArray[np.float32]:
    """Return the structural similarity at each pixel, the mean of three channels: [height, width].

    Wang et al. 2004, equation 13, in five blurs. Within 1e-5 of scikit-image's
    `structural_similarity`: with `GAUSSIAN` of `gaussian_weights=True, sigma=1.5,
    use_sample_covariance=False`, with `UNIFORM` of its defaults, which UltraEdit uses.
    """
    # Subtracting a constant does not change variances, and makes them more precise in float32.
    centre = np.array(cv2.mean(second)[:3], np.float32)
    x, y, blur = _centred(first, centre), _centred(second, centre), window.blur
    mean_x, mean_y = blur(x), blur(y)
    variances = blur(x * x) + blur(y * y) - mean_x * mean_x - mean_y * mean_y
    covariance = blur(x * y) - mean_x * mean_y
    if window.factor != 1:
        variances *= np.float32(window.factor)
        covariance *= np.float32(window.factor)
    mean_x, mean_y = mean_x + centre / _WHITE, mean_y + centre / _WHITE
    similarity = (2 * mean_x * mean_y + _C1) * (2 * covariance + _C2)
    similarity /= (mean_x * mean_x + mean_y * mean_y + _C1) * (variances + _C2)
    average: NDArray[np.float32] = similarity.mean(axis=2)
    return average


def _centred(pixels: Pixels, centre: NDArray[np.float32]) -> NDArray[np.float32]:
    return (pixels - centre) / _WHITE
