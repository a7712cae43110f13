"""What the truth judge looks at: the four pictures of a case, registered, and their regions.

A generator may move or enlarge the whole picture. The motion is estimated once and undone on the
known pictures, so that following and quality are judged where things now are, and the motion
itself is left to preserving.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from editloop.darkroom.alignment import STILL, Motion, align, warp
from editloop.darkroom.measures import Floats, cells, levels, luminance, progress
from editloop.darkroom.regions import inside_of, is_whole, outside_of, rim_of
from editloop.schema import Mask, Pixels

__all__ = ["Evidence", "gather"]

_AFAR = 16  # cells along the shorter side
_LOOK = 128  # shorter side at which colours are compared
_CUTS = (inside_of, rim_of, outside_of)
_ENOUGH = 0.25  # share of the picture that must be outside for it to be registered by that alone


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """Source, target and edited picture, each in colour (small) and in luminance (full size).

    `source`, `target` and the regions are where `motion` takes them. A region is 0 or 1 a pixel:
    `inside` the mask, the `rim` just outside, and the `outside` clear of it, all at full size;
    `small_inside` and `small_outside` go with the colours. `levels`: how many levels a channel
    source, target and edited picture use. `whole`: there is no outside.
    """

    source: Floats  # [h, w, 3], 0-255
    target: Floats
    edited: Floats
    small_inside: Floats  # [h, w]
    small_outside: Floats
    source_light: Floats  # [height, width], 0-255
    target_light: Floats
    edited_light: Floats
    inside: Floats  # [height, width]
    rim: Floats
    outside: Floats
    levels: tuple[float, ...]
    motion: Motion
    whole: bool


def gather(source: Pixels, target: Pixels, edited: Pixels, mask: Mask) -> Evidence:
    """Register the known pictures with the edited one, and cut the regions."""
    inside, rim, outside = (cut(mask).astype(np.float32) for cut in _CUTS)
    lights = [luminance(pixels) for pixels in (source, target, edited)]
    motion = _motion(*lights, outside)
    inside, rim, outside = (warp(region, motion) for region in (inside, rim, outside))
    looks = [_small(pixels) for pixels in (source, target, edited)]
    return Evidence(
        source=warp(looks[0], motion),
        target=warp(looks[1], motion),
        edited=looks[2],
        small_inside=_small(inside),
        small_outside=_small(outside),
        source_light=warp(lights[0], motion),
        target_light=warp(lights[1], motion),
        edited_light=lights[2],
        inside=inside,
        rim=rim,
        outside=outside,
        levels=tuple(levels(pixels) for pixels in (source, target, edited)),
        motion=motion,
        whole=is_whole(mask),
    )


def _motion(source: Floats, target: Floats, edited: Floats, outside: Floats) -> Motion:
    """By what must stay, if there is enough of it; else by the nearest mix of source and target."""
    if float(outside.mean()) >= _ENOUGH:
        return align(source, edited, outside)
    everywhere = np.ones_like(source)
    motion = align(_nearest(source, target, edited, STILL), edited, everywhere)
    if motion == STILL:
        return motion
    return align(_nearest(source, target, edited, motion), edited, everywhere, motion)


def _nearest(source: Floats, target: Floats, edited: Floats, motion: Motion) -> Floats:
    """The mix of source and target that, so moved, is from afar most like the edited picture."""
    lights = (warp(source, motion), warp(target, motion), edited)
    share = progress(*(cells(light, _AFAR) for light in lights))
    return source + np.float32(np.clip(share, 0, 1)) * (target - source)


def _small(image: Pixels | Floats) -> Floats:
    full = image.astype(np.float32)
    return cells(full, _LOOK) if min(full.shape[:2]) > _LOOK else full
