"""L1, L2, PSNR and SSIM of two pictures: in the whole picture, inside and outside a mask.

Pixel values are in [0, 1]. A missing mask means that editing is allowed everywhere, so "inside" is
the whole picture and "outside" is empty, which is unscored and never 0. With an all-black mask it
is the other way round.

An edited picture that differs in size from its reference is resized to the reference's size by
Pillow's bicubic filter, the default of `Image.resize`, as MagicBrush does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias, cast

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from editloop.metrics.cosines import scored
from editloop.metrics.geometry import Place, Region, blackened, region_of, resized_to
from editloop.metrics.ssim import GAUSSIAN, UNIFORM, Window, ssim_map
from editloop.schema import Cause, EditedPair, Mask, Pixels, Score, Unscored
from editloop.settings import Settings

__all__ = ["PIXEL_METRICS", "PSNR_CAP", "VERSION", "PixelMetric", "measure_many", "measure_pixels"]

VERSION = "2"

# Identical pictures have an infinite PSNR. Leaving them out would hide an editor's best cases, and
# infinity has no mean, so every PSNR is capped: above that of a difference of one grey level in one
# channel of a 64 px picture (89 dB).
PSNR_CAP = 100.0

_Against: TypeAlias = Literal["target", "source"]
_Rest: TypeAlias = Literal["excluded", "black"]

_MEASURES = ("l1", "l2", "psnr", "ssim")
_REGIONS = ("", "_inside", "_outside")
PIXEL_METRICS = tuple(f"{measure}{region}" for measure in _MEASURES for region in _REGIONS)
_KNOWN = (*PIXEL_METRICS, "ssim7")


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
    5 px from the border, as in scikit-image; `ssim7` is that with the window `UNIFORM`, 3 px from
    it. `against` and `rest` as in `PixelMetric`.
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


class PixelMetric:
    """A pixel measure as a metric, `pixels:NAME`: for example `pixels:l1_inside`."""

    class Settings(Settings):
        """The measure, the picture to compare with, and the handling of regions."""

        target: str = Field(
            description="the measure: l1, l2, psnr or ssim, + _inside or _outside; or ssim7, SSIM "
            "with a uniform window of 7 px (UltraEdit)"
        )
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
            if value not in _KNOWN:
                raise ValueError(f"no such pixel metric; known: {', '.join(_KNOWN)}")
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
    def similarity(self) -> NDArray[np.float32]:
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
        return self._ssim(GAUSSIAN, lambda: self.pictures.similarity)

    @property
    def ssim7(self) -> float | str:
        pictures = self.pictures
        return self._ssim(UNIFORM, lambda: ssim_map(pictures.edited, pictures.reference, UNIFORM))

    def _ssim(self, window: Window, similarity: Callable[[], NDArray[np.float32]]) -> float | str:
        if min(self.pictures.reference.shape[:2]) < window.side:
            return f"a side is shorter than the {window.side} px window of SSIM"
        middle = (slice(window.edge, -window.edge),) * 2
        inner = similarity()[middle]
        chosen = inner if self.region is None else inner[self.region[middle]]
        if chosen.size == 0:
            return (
                f"the region lies within {window.edge} px of the border, where SSIM has no window"
            )
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
