"""The truth judge's input: the registered pictures of a case, and the regions of its mask.

A generator may shift or zoom the whole picture. The motion is estimated once and applied to the
known pictures, so that following and quality are judged at the new positions; the motion itself
counts for preserving.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

import numpy as np

from editloop.darkroom.alignment import STILL, Motion, align, warp
from editloop.darkroom.measures import Floats, cells, levels, luminance, progress
from editloop.darkroom.octaves import Octaves, octaves
from editloop.darkroom.regions import inside_of, is_whole, outside_of, rim_of
from editloop.schema import Mask, Pixels

__all__ = ["Evidence", "Three", "gather"]

_AFAR = 16  # cells along the shorter side
_LOOK = 128  # shorter side at which colours are compared
_ENOUGH = 0.25  # share of the picture outside the mask from which registration uses that alone

_T = TypeVar("_T")


class Three(NamedTuple, Generic[_T]):
    """One value for each picture of a case."""

    source: _T
    target: _T
    edited: _T


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """A case in colour (small), in luminance (full size), by octaves, and its number of levels.

    Source, target and regions are warped by `motion`. A region is 0 or 1 per pixel: `inside` the
    mask, the `rim` just outside it, and the `outside` at a distance from it, all at full size;
    `small_inside` and `small_outside` have the size of the colours. `whole` means no outside.
    """

    looks: Three[Floats]  # [h, w, 3], 0-255
    lights: Three[Floats]  # [height, width], 0-255
    details: Three[Octaves]
    levels: Three[float]
    small_inside: Floats  # [h, w]
    small_outside: Floats
    inside: Floats  # [height, width]
    rim: Floats
    outside: Floats
    motion: Motion
    whole: bool


def gather(source: Pixels, target: Pixels, edited: Pixels, mask: Mask) -> Evidence:
    """Register the known pictures with the edited one, and compute the regions."""
    lights = Three(luminance(source), luminance(target), luminance(edited))
    inside, rim, outside = (cut(mask).astype(np.float32) for cut in (inside_of, rim_of, outside_of))
    motion = _motion(lights, outside)
    inside, rim, outside = (warp(region, motion) for region in (inside, rim, outside))
    moved = Three(warp(lights.source, motion), warp(lights.target, motion), lights.edited)
    return Evidence(
        looks=Three(warp(_small(source), motion), warp(_small(target), motion), _small(edited)),
        lights=moved,
        details=Three(*(octaves(light) for light in moved)),
        levels=Three(levels(source), levels(target), levels(edited)),
        small_inside=_small(inside),
        small_outside=_small(outside),
        inside=inside,
        rim=rim,
        outside=outside,
        motion=motion,
        whole=is_whole(mask),
    )


def _motion(lights: Three[Floats], outside: Floats) -> Motion:
    """Estimate the motion from the outside if it is large enough, else from the nearest mix."""
    if float(outside.mean()) >= _ENOUGH:
        return align(lights.source, lights.edited, outside)
    everywhere = np.ones_like(outside)
    motion = align(_nearest(lights, STILL), lights.edited, everywhere)
    if motion == STILL:
        return motion
    return align(_nearest(lights, motion), lights.edited, everywhere, motion)


def _nearest(lights: Three[Floats], motion: Motion) -> Floats:
    """Return the mix of source and target that, warped, is coarsely nearest to the edited one."""
    source, target, edited = lights
    share = progress(
        cells(warp(source, motion), _AFAR), cells(warp(target, motion), _AFAR), cells(edited, _AFAR)
    )
    return source + np.float32(np.clip(share, 0, 1)) * (target - source)


def _small(image: Pixels | Floats) -> Floats:
    full = image.astype(np.float32)
    return cells(full, _LOOK) if min(full.shape[:2]) > _LOOK else full
