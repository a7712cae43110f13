"""L1, L2, PSNR and SSIM of two pictures: in the whole picture, inside and outside a mask.

Pixel values are in [0, 1]. A missing or blank mask means that editing is allowed everywhere, so
"inside" is the whole picture and "outside" is empty, which is unscored and never 0.

An edited picture that differs in size from its reference is resized to the reference's size by
Pillow's bicubic filter, the default of `Image.resize`, as MagicBrush does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias, cast

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from editloop.metrics.cosines import scored
from editloop.metrics.geometry import Place, Region, blackened, region_of, resized_to
from editloop.schema import Cause, EditedPair, Mask, Pixels, Score, Unscored
from editloop.settings import Settings

__all__ = [
    "PIXEL_METRICS",
    "PSNR_CAP",
    "VERSION",
    "PixelMetric",
    "measure_many",
    "measure_pixels",
    "ssim_map",
]

VERSION = "1"

# Identical pictures have an infinite PSNR. Leaving them out would hide an editor's best cases, and
# infinity has no mean, so every PSNR is capped: above that of a difference of one grey level in one
# channel of a 64 px picture (89 dB).
PSNR_CAP = 100.0

_WINDOW, _SIGMA = 11, 1.5  # Wang et al. 2004, section III-C
_C1, _C2 = np.float32(0.01**2), np.float32(0.03**2)
_WHITE = np.float32(255)
_EDGE = _WINDOW // 2

_Against: TypeAlias = Literal["target", "source"]
_Rest: TypeAlias = Literal["excluded", "black"]

_MEASURES = ("l1", "l2", "psnr", "ssim")
_REGIONS = ("", "_inside", "_outside")
PIXEL_METRICS = tuple(f"{measure}{region}" for measure in _MEASURES for region in _REGIONS)


def measure_pixels(
    pair: EditedPair,
    names: Sequence[str] = PIXEL_METRICS,
    *,
    against: _Against = "target",
    rest: _Rest = "excluded",
) -> dict[str, Score | Unscored]:
    """Return the named measures of one pair; a shared difference or SSIM map is computed once.

    `l1` is the mean absolute and `l2` the mean squared difference, in [0, 1]; `psnr` is in dB, at
    most `PSNR_CAP`; `ssim` is the mean of `ssim_map` over the region's pixels that are at least
    5 px from the border, as in scikit-image. `against` and `rest` as in `PixelMetric`.
    """
    reference = pair.source if against == "source" else pair.target
    if reference is None:
        return dict.fromkeys(
            names, Unscored("the case has no target", VERSION, Cause.MISSING_INPUT)
        )
    whole = _Pictures(resized_to(pair.edited, reference.shape[:2]), reference)
    places = dict.fromkeys(_split(name)[1] for name in names)
    parts = {place: _part(whole, place, pair.mask, rest) for place in places}
    return {name: scored(_value(name, parts), VERSION) for name in names}


def measure_many(pair: EditedPair, metrics: Sequence[PixelMetric]) -> list[Score | Unscored]:
    """Return one pair's score by each metric, in order; metrics of equal settings share work."""
    groups: dict[tuple[_Against, _Rest], list[str]] = {}
    for metric in metrics:
        groups.setdefault(metric.rule, []).append(metric.name)
    found = {
        rule: measure_pixels(pair, names, against=rule[0], rest=rule[1])
        for rule, names in groups.items()
    }
    return [found[metric.rule][metric.name] for metric in metrics]


def ssim_map(first: Pixels, second: Pixels) -> NDArray[np.float32]:
    """Return the structural similarity at each pixel, the mean of three channels: [height, width].

    Wang et al. 2004, equation 13, with a Gaussian window of 11 px (sigma 1.5) and population
    covariances: scikit-image's `structural_similarity(gaussian_weights=True, sigma=1.5,
    use_sample_covariance=False)` within 1e-5, in five blurs.
    """
    # Subtracting a constant does not change variances, and makes them more precise in float32.
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
    """A pixel measure as a metric, `pixels:NAME`: for example `pixels:l1_inside`."""

    class Settings(Settings):
        """The measure, the picture to compare with, and the handling of regions."""

        target: str = Field(description="the measure: l1, l2, psnr or ssim, + _inside or _outside")
        against: _Against = Field(
            default="target", description="the picture that the edited one is compared with"
        )
        resize: Literal["bicubic"] = Field(
            default="bicubic",
            description="filter that resizes an edited picture to the other's size",
        )
        rest: _Rest = Field(
            default="excluded",
            description="the pixels outside a region: left out of the mean, or black in both "
            "pictures and counted (PIE-Bench)",
        )

        @field_validator("target")
        @classmethod
        def _is_known(cls, value: str) -> str:
            if value not in PIXEL_METRICS:
                raise ValueError(f"no such pixel metric; known: {', '.join(PIXEL_METRICS)}")
            return value

    def __init__(self, settings: PixelMetric.Settings) -> None:
        self.name = settings.target
        self.version = VERSION
        self.rule = settings.against, settings.rest
        mask = set() if _split(self.name)[1] == "whole" else {"mask"}
        self.needs = frozenset({"edited", settings.against} | mask)

    def measure(self, batch: Sequence[EditedPair]) -> list[Score | Unscored]:
        """Return the measure of each pair, in order."""
        return [measure_many(pair, (self,))[0] for pair in batch]


@dataclass(frozen=True, eq=False)
class _Pictures:
    """Two pictures of one size, and the SSIM map that all regions share."""

    edited: Pixels
    reference: Pixels

    @cached_property
    def similarity(self) -> NDArray[np.float32] | None:
        if min(self.reference.shape[:2]) < _WINDOW:
            return None
        return ssim_map(self.edited, self.reference)


@dataclass(frozen=True, eq=False)
class _Part:
    """A region of two pictures and its measures: each a value, or the reason for none."""

    pictures: _Pictures
    region: Region = None

    @cached_property
    def l1(self) -> float:
        return self._mean(cv2.NORM_L1, 255)

    @cached_property
    def l2(self) -> float:
        return self._mean(cv2.NORM_L2SQR, 255**2)

    @property
    def psnr(self) -> float:
        return PSNR_CAP if self.l2 == 0 else min(PSNR_CAP, -10 * math.log10(self.l2))

    @property
    def ssim(self) -> float | str:
        similarity = self.pictures.similarity
        if similarity is None:
            return f"a side is shorter than the {_WINDOW} px window of SSIM"
        middle = (slice(_EDGE, -_EDGE), slice(_EDGE, -_EDGE))
        inner = similarity[middle]
        chosen = inner if self.region is None else inner[self.region[middle]]
        if chosen.size == 0:
            return f"the region lies within {_EDGE} px of the border, where SSIM has no window"
        return float(chosen.mean(dtype=np.float64))

    def _mean(self, norm: int, white: int) -> float:
        """Return the mean over pixels and channels, in units of `white`.

        The sum is an integer. It is rounded because OpenCV may compute it as the square of a root.
        """
        edited, reference = self.pictures.edited, self.pictures.reference
        if self.region is None:
            return round(cv2.norm(edited, reference, norm)) / (white * edited.size)
        mask = self.region.view(np.uint8)
        total = round(cv2.norm(edited, reference, norm, mask))
        return total / (white * 3 * cv2.countNonZero(mask))


def _part(pictures: _Pictures, place: Place, mask: Mask | None, rest: _Rest) -> _Part | str:
    """Return the region of two pictures that a place names, or why there is none."""
    region = region_of(mask, place, pictures.reference.shape[:2])
    if isinstance(region, str):
        return region
    if rest == "excluded":
        return _Part(pictures, region)
    edited, reference = blackened(pictures.edited, region), blackened(pictures.reference, region)
    return _Part(_Pictures(edited, reference))


def _value(name: str, parts: Mapping[Place, _Part | str]) -> float | str:
    measure, place = _split(name)
    part = parts[place]
    found: float | str = part if isinstance(part, str) else getattr(part, measure)
    return found


def _split(name: str) -> tuple[str, Place]:
    """Return a measure and its place: `l1_inside` is `l1`, `inside`; `l1` is `l1`, `whole`."""
    measure, _, place = name.partition("_")
    return measure, cast("Place", place or "whole")


def _centred(pixels: Pixels, centre: NDArray[np.float32]) -> NDArray[np.float32]:
    return (pixels - centre) / _WHITE


def _blur(values: NDArray[np.float32]) -> NDArray[np.float32]:
    blurred: NDArray[np.float32] = cv2.GaussianBlur(
        values, (_WINDOW, _WINDOW), _SIGMA, borderType=cv2.BORDER_REFLECT
    )
    return blurred
