"""L1, L2, PSNR and SSIM of an edited picture to its target: everywhere, inside and outside a mask.

Pixel values are in [0, 1]. A missing or blank mask means that editing is allowed everywhere, so
"inside" is the whole picture and "outside" is nothing, which is unscored and never 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import field_validator

from editloop.recipe import Settings
from editloop.schema import EditedPair, Mask, Pixels, Score, Unscored

__all__ = ["PIXEL_METRICS", "PSNR_CAP", "VERSION", "PixelMetric", "measure_pixels", "ssim_map"]

VERSION = "1"

# Identical pictures have an infinite PSNR. Leaving them out would hide an editor's best cases and
# infinity has no mean, so every PSNR is capped here: above what one grey level in one channel of a
# 64 px picture gives (89 dB).
PSNR_CAP = 100.0

_WINDOW, _SIGMA = 11, 1.5  # Wang et al. 2004, section III-C
_C1, _C2 = np.float32(0.01**2), np.float32(0.03**2)
_WHITE = np.float32(255)
_EDGE = _WINDOW // 2

_Region: TypeAlias = NDArray[np.bool_] | None  # [height, width]; None is everywhere
_Measure: TypeAlias = Callable[[_Region], float | str]  # a value, or why there is none

_MEASURES = ("l1", "l2", "psnr", "ssim")
_REGIONS = ("", "_inside", "_outside")
PIXEL_METRICS = tuple(f"{measure}{region}" for measure in _MEASURES for region in _REGIONS)


def measure_pixels(
    pair: EditedPair, names: Sequence[str] = PIXEL_METRICS
) -> dict[str, Score | Unscored]:
    """The named measures of one pair; what they share (one difference, one SSIM map) is made once.

    `l1` is the mean absolute and `l2` the mean squared difference, in [0, 1]; `psnr` is in dB, at
    most `PSNR_CAP`; `ssim` is the mean of `ssim_map` over the region's pixels that are at least
    5 px from the border, as scikit-image takes it.
    """
    if pair.target is None:
        return dict.fromkeys(names, Unscored("the case has no target", VERSION))
    measures = _measures(pair.edited, pair.target, {name.partition("_")[0] for name in names})
    regions = _regions(pair.mask)
    return {name: _score(name, measures, regions) for name in names}


def ssim_map(first: Pixels, second: Pixels) -> NDArray[np.float32]:
    """Structural similarity around each pixel, the mean of three channels: [height, width].

    Wang et al. 2004, equation 13, with a Gaussian window of 11 px (sigma 1.5) and population
    covariances: scikit-image's `structural_similarity(gaussian_weights=True, sigma=1.5,
    use_sample_covariance=False)` within 1e-5, in five blurs.
    """
    # Variances don't change when a constant is taken off, and float32 keeps more of a small one.
    centre = np.array(cv2.mean(second)[:3], np.float32)
    x, y = _centred(first, centre), _centred(second, centre)
    mean_x, mean_y = _blur(x), _blur(y)
    variances = _blur(x * x) + _blur(y * y) - mean_x * mean_x - mean_y * mean_y
    covariance = _blur(x * y) - mean_x * mean_y
    mean_x, mean_y = mean_x + centre / _WHITE, mean_y + centre / _WHITE
    similarity = (2 * mean_x * mean_y + _C1) * (2 * covariance + _C2)
    similarity /= (mean_x * mean_x + mean_y * mean_y + _C1) * (variances + _C2)
    average: NDArray[np.float32] = similarity.mean(axis=2)
    return average


class PixelMetric:
    """One pixel measure as a metric, `pixels:NAME`: for example `pixels:l1_inside`."""

    class Settings(Settings):
        """`target` names one of `PIXEL_METRICS`."""

        target: str

        @field_validator("target")
        @classmethod
        def _is_known(cls, value: str) -> str:
            if value not in PIXEL_METRICS:
                raise ValueError(f"no such pixel metric; known: {', '.join(PIXEL_METRICS)}")
            return value

    def __init__(self, settings: PixelMetric.Settings) -> None:
        self.name = settings.target
        self.version = VERSION
        self.needs = frozenset({"edited", "target"} | ({"mask"} if "_" in self.name else set()))

    def measure(self, batch: Sequence[EditedPair]) -> list[Score | Unscored]:
        """The measure of each pair, in order."""
        return [measure_pixels(pair, (self.name,))[self.name] for pair in batch]


def _centred(pixels: Pixels, centre: NDArray[np.float32]) -> NDArray[np.float32]:
    return (pixels - centre) / _WHITE


def _blur(values: NDArray[np.float32]) -> NDArray[np.float32]:
    blurred: NDArray[np.float32] = cv2.GaussianBlur(
        values, (_WINDOW, _WINDOW), _SIGMA, borderType=cv2.BORDER_REFLECT
    )
    return blurred


def _regions(mask: Mask | None) -> dict[str, _Region]:
    inside = None if mask is None else mask > 127
    if inside is None or not inside.any() or inside.all():
        return {"": None, "_inside": None}
    return {"": None, "_inside": inside, "_outside": ~inside}


def _measures(edited: Pixels, target: Pixels, wanted: set[str]) -> dict[str, _Measure]:
    """The wanted measures as functions of a region; sums are of integers, and so exact."""
    made: dict[str, _Measure] = {}
    if wanted & {"l1", "l2", "psnr"}:
        difference = cv2.absdiff(edited, target)
        squares = np.square(difference, dtype=np.int32).sum(axis=2)
        made["l1"] = partial(_mean, difference.sum(axis=2, dtype=np.int32), 3 * 255)
        made["l2"] = partial(_mean, squares, 3 * 255**2)
        made["psnr"] = partial(_psnr, squares)
    if "ssim" in wanted:
        made["ssim"] = partial(_ssim, None if _too_small(edited) else ssim_map(edited, target))
    return made


def _too_small(pixels: Pixels) -> bool:
    return bool(min(pixels.shape[:2]) < _WINDOW)


def _mean(values: NDArray[np.int32], unit: int, region: _Region) -> float:
    chosen = values if region is None else values[region]
    return int(chosen.sum(dtype=np.int64)) / (unit * chosen.size)


def _psnr(squares: NDArray[np.int32], region: _Region) -> float:
    error = _mean(squares, 3 * 255**2, region)
    return PSNR_CAP if error == 0 else min(PSNR_CAP, -10 * math.log10(error))


def _ssim(similarity: NDArray[np.float32] | None, region: _Region) -> float | str:
    if similarity is None:
        return f"a side is shorter than the {_WINDOW} px window of SSIM"
    middle = (slice(_EDGE, -_EDGE), slice(_EDGE, -_EDGE))
    chosen = similarity[middle] if region is None else similarity[middle][region[middle]]
    if chosen.size == 0:
        return f"the region lies within {_EDGE} px of the border, where SSIM has no whole window"
    return float(chosen.mean(dtype=np.float64))


def _score(
    name: str, measures: Mapping[str, _Measure], regions: Mapping[str, _Region]
) -> Score | Unscored:
    measure, underscore, place = name.partition("_")
    if underscore + place not in regions:
        return Unscored("the mask covers everything: nothing lies outside it", VERSION)
    value = measures[measure](regions[underscore + place])
    return Unscored(value, VERSION) if isinstance(value, str) else Score(value, version=VERSION)
