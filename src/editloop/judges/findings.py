"""Measures of an edit that need no target: pure functions of pixels.

The edited picture is first registered with the source, so that a shift is not mistaken for other
changes. Intensities are in levels of 0-255. "Outside" is the area outside the mask, away from its
edge.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from editloop.darkroom.alignment import warp
from editloop.darkroom.evidence import Evidence, gather
from editloop.darkroom.measures import Floats, cells, contrast, correlation, grid_steps
from editloop.darkroom.octaves import energy, strange
from editloop.metrics.ssim import ssim_map
from editloop.schema import Mask, Pixels

__all__ = ["Findings", "find"]

_AFAR = 12  # cells along the shorter side, to compare colours
_DETAILS = 0.5  # weight of a change of details relative to a change of colours
_SPOT = 0.05  # share of the cells, the most changed ones, that count if there is no mask
_SMALL = 32  # shorter side at which the outside is compared: finer faults belong to quality
_LAYOUT = 24  # cells along the shorter side, to recognise a photo
_FINER = 48  # cells along the shorter side, to recognise a photo by its details
_MASKING = 40.0  # levels; details of this amplitude halve the visibility of artefacts


@dataclass(frozen=True, slots=True)
class Findings:
    """The measures of a pair; those of the outside are None if there is none.

    - `changed`: the change of colours, plus that of details at half weight, inside the mask; in the
      most changed places if there is no mask. Root mean square, levels.
    - `alike`: the absolute correlation (0-1, so that a photographic negative is alike) of source
      and edited picture at low resolution or in details, whichever is higher; only at low
      resolution and outside the mask if there is an outside.
    - `layout`: the same in details only, over the whole picture.
    - `shift`, `zoom`: how far the whole picture moved and how much it grew, as shares of its side.
    - `l1` (levels) and `ssim`: the outside before and after, at a shorter side of 32.
    - `artefacts`: the amplitude of details that the source's do not explain, in levels, reduced
      where details of the source hide them; outside if there is an outside.
    - `halo`: how much lighter or darker the mask's rim became than the rest, levels.
    - `blocks`: how much larger steps became at the borders of 8x8 blocks than within, levels.
    - `banding`: the factor by which the number of levels in use fell.
    - `contrast`: the contrast of the edited picture as a share of the source's.
    """

    changed: float
    alike: float
    layout: float
    shift: float
    zoom: float
    l1: float | None
    ssim: float | None
    artefacts: float
    halo: float | None
    blocks: float
    banding: float
    contrast: float


def find(source: Pixels, edited: Pixels, mask: Mask | None) -> Findings:
    """Return the measures of an edited picture of the source's size, at least 32 px on a side.

    With a mask that is all black, everything is outside, and `changed` is 0.
    """
    allowed = np.full(source.shape[:2], 255, np.uint8) if mask is None else mask
    # The truth judge's evidence, with the source in place of the unknown target.
    seen = gather(source, source, edited, allowed)
    before, _, after = seen.details
    place = seen.inside if seen.whole else seen.outside
    odd = strange(after, (before,), before, place) ** 0.5
    return Findings(
        changed=_changed(seen, mask is not None and bool(mask.any())),
        alike=_alike(seen),
        layout=_layout(seen),
        shift=float(np.hypot(seen.motion.right, seen.motion.down)),
        zoom=abs(seen.motion.zoom - 1),
        **_outside(source, edited, seen),
        artefacts=float(odd / (1 + energy(before, place) ** 0.5 / _MASKING)),
        halo=None if seen.whole else _halo(seen),
        blocks=grid_steps(seen.lights.edited - seen.lights.source),
        banding=seen.levels.source / seen.levels.edited,
        contrast=contrast(seen.lights.edited, [seen.lights.source], np.ones_like(seen.inside)),
    )


def _changed(seen: Evidence, placed: bool) -> float:
    change = (seen.looks.edited - seen.looks.source) * seen.small_inside[..., None]
    share = np.maximum(cells(seen.small_inside, _AFAR), 1e-3)
    means = cells(change, _AFAR) / share[..., None]
    rest = change - cv2.resize(means, change.shape[1::-1]) * seen.small_inside[..., None]
    squares = (means**2).mean(2) + _DETAILS**2 * cells((rest**2).mean(2), _AFAR) / share
    if placed:
        return float(((squares * share).sum() / share.sum()) ** 0.5)
    most = np.sort(squares, axis=None)[-max(1, round(_SPOT * squares.size)) :]
    return float(most.mean() ** 0.5)


def _alike(seen: Evidence) -> float:
    before, after = (cells(light, _LAYOUT) for light in (seen.lights.source, seen.lights.edited))
    if not seen.whole:
        stays = cells(seen.outside, _LAYOUT) > 0.5
        if stays.sum() > 1:
            return abs(correlation(before[stays], after[stays]))
    return max(abs(correlation(before, after)), _layout(seen))


def _layout(seen: Evidence) -> float:
    before, after = (_details(light) for light in (seen.lights.source, seen.lights.edited))
    return abs(correlation(before, after))


def _details(light: Floats) -> Floats:
    smaller = cells(light, _FINER)
    return np.asarray(smaller - cv2.GaussianBlur(smaller, (0, 0), 3), np.float32)


def _outside(source: Pixels, edited: Pixels, seen: Evidence) -> dict[str, float | None]:
    """Return L1 and SSIM of the outside; None if there is none."""
    stays = cells(seen.outside, _SMALL) > 0.9
    if seen.whole or not stays.any():
        return {"l1": None, "ssim": None}
    before, after = (_small(picture) for picture in (warp(source, seen.motion), edited))
    away = np.abs(after.astype(np.float32) - before).mean(2)
    similar = ssim_map(before, after)
    return {"l1": float(away[stays].mean()), "ssim": float(similar[stays].mean())}


def _small(pixels: NDArray[np.uint8]) -> Pixels:
    return np.asarray(np.rint(cells(pixels.astype(np.float32), _SMALL)), np.uint8)


def _halo(seen: Evidence) -> float | None:
    if not seen.rim.any():
        return None
    change = seen.lights.edited - seen.lights.source
    rim, rest = (
        float((change * region).sum() / max(float(region.sum()), 1.0))
        for region in (seen.rim, seen.outside)
    )
    return abs(rim - rest)
