"""Crops that keep the edited region: an edit outside of the crop teaches to change nothing."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from editloop.schema import Pixels
from editloop.training.buckets import Size, View
from editloop.training.triples import Triple

__all__ = ["changed_region", "cropped"]

_NOISE = 8.0  # levels; smaller changes are compression noise
_SHARE = 0.25  # of the largest change; weaker ones are a drift of the whole picture
_BLOCKS = 64  # changes are averaged over a 64th of the shorter side
_ENOUGH = 0.99  # of the most that any place keeps

_Region = NDArray[np.float32]


def cropped(whole: Triple, view: View, size: Size, *, around_edit: bool) -> Triple:
    """Return source, target and mask through a view at a size.

    With `around_edit`, the view is moved to the nearest place that keeps as much of the edited
    region as any: of its mask, or of where target and source differ.
    """
    window = view.window(whole.size, size)
    if window == whole.size:
        return whole.seen(view, size)
    region = _edited_region(whole)
    if around_edit:
        vertical, horizontal = (
            _place(region.sum(1 - axis), window[axis], view.place[axis]) for axis in (0, 1)
        )
        view = replace(view, place=(vertical, horizontal))
    return replace(whole.seen(view, size), lost=_is_lost(region, window, view))


def changed_region(source: Pixels, target: Pixels) -> _Region:
    """Return 1 where two pictures of one size differ clearly, else 0: [height, width]."""
    difference = np.abs(source.astype(np.int16) - target).max(2).astype(np.float32)
    side = max(1, min(difference.shape) // _BLOCKS)
    smooth = cv2.blur(difference, (side, side))
    region: _Region = (smooth > max(_NOISE, _SHARE * float(smooth.max()))).astype(np.float32)
    return region


def _edited_region(whole: Triple) -> _Region:
    """Return 1 where a picture is edited, else 0: [height, width]; of a soft mask, its half."""
    if whole.mask is not None and whole.mask.any():
        inside: _Region = (whole.mask > whole.mask.max() / 2).astype(np.float32)
        if not inside.all():
            return inside
    return changed_region(whole.source, whole.target)


def _place(profile: NDArray[np.float32], window: int, wanted: float) -> float:
    """Return the place (0 to 1) nearest to `wanted` whose window keeps the most of a profile."""
    slack = len(profile) - window
    if slack == 0 or not profile.any():
        return wanted
    total = np.concatenate([[0.0], np.cumsum(profile, dtype=np.float64)])
    kept = total[window:] - total[:-window]
    good = np.flatnonzero(kept >= _ENOUGH * kept.max())
    nearest = int(good[np.abs(good - wanted * slack).argmin()])
    return wanted if abs(nearest - wanted * slack) < 1 else nearest / slack


def _is_lost(region: _Region, window: Size, view: View) -> bool:
    """Return whether most of the edited region lies outside of a window that it does not fill."""
    top, left = (
        round((have - want) * place)
        for have, want, place in zip(region.shape, window, view.place, strict=True)
    )
    kept = region[top : top + window[0], left : left + window[1]] > 0
    return bool(kept.sum() < 0.5 * (region > 0).sum() and kept.mean() < 0.5)
