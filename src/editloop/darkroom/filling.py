"""Inpainting of a hole from its surroundings, so that a removed object leaves a plausible picture.

Patch voting from coarse to fine (Wexler, Shechtman and Irani, "Space-time completion of video",
2007): each patch that touches the hole finds its most similar known patch, then each pixel gets the
mean over the patches that cover it, and this repeats. It runs on a small copy; the missing detail
is copied, at full resolution, from the positions of the matched patches.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from editloop.darkroom.fields import Floats, floats
from editloop.schema import Mask, Pixels

__all__ = ["fill"]

_HALF = 3  # half a patch's side
_LEVELS = ((36, 10), (72, 6), (144, 3))  # longer side of the copy, rounds of voting
_KNOWN = 7000  # maximum number of known patches to compare
_NEARNESS = 1.2  # weight of a patch's distance in pixels against its similarity


def fill(picture: Pixels, hole: Mask) -> Pixels:
    """Fill a picture's hole (where `hole` is not 0); the rest keeps the same bytes."""
    window = _window(hole)
    result = picture.copy()
    if window is None or (hole > 0).all():
        return result
    part, inside = picture[window], hole[window] > 0
    result[window] = np.where(inside[..., None], _filled(part, inside), part)
    return result


def _window(hole: Mask) -> tuple[slice, slice] | None:
    """Return the hole's bounding box, extended on every side by its longer side."""
    rows, columns = np.flatnonzero(hole.any(axis=1)), np.flatnonzero(hole.any(axis=0))
    if not len(rows):
        return None
    reach = int(max(rows[-1] - rows[0], columns[-1] - columns[0], 16))
    return (
        slice(max(0, int(rows[0]) - reach), int(rows[-1]) + reach + 1),
        slice(max(0, int(columns[0]) - reach), int(columns[-1]) + reach + 1),
    )


def _filled(part: Pixels, inside: NDArray[np.bool_]) -> Pixels:
    """Return the window with the hole filled: tones from voting, detail from matched patches."""
    height, width = inside.shape
    guess: Floats | None = None
    offsets = np.zeros((1, 1, 2), np.float32)
    for longest, rounds in _LEVELS:
        scale = min(1.0, longest / max(height, width))
        size = (max(12, round(width * scale)), max(12, round(height * scale)))
        small = floats(cv2.resize(part, size, interpolation=cv2.INTER_AREA))
        missing = _missing(inside, size)
        guess = _begun(small, missing) if guess is None else floats(cv2.resize(guess, size))
        small[missing] = guess[missing]
        guess, offsets = _vote(small, missing, rounds)
    step = floats((width / offsets.shape[1], height / offsets.shape[0]))
    moved = cv2.resize(offsets * step, (width, height), interpolation=cv2.INTER_NEAREST)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    detail = part - _coarse(floats(part), (offsets.shape[1], offsets.shape[0]))
    detail = cv2.remap(detail, x + moved[..., 0], y + moved[..., 1], cv2.INTER_LINEAR)
    tones = cv2.resize(guess, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.round(np.clip(tones + detail, 0, 255)), np.uint8)


def _missing(inside: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the hole on a small copy, one pixel wider, so that no object edge is copied."""
    share = cv2.resize(inside.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    wider = cv2.dilate((share > 0).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    return np.asarray(wider if not wider.all() else share > 0.5, np.bool_)


def _coarse(part: Floats, size: tuple[int, int]) -> Floats:
    """Return the picture as reconstructed from a small copy, at full size."""
    small = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
    return floats(cv2.resize(small, part.shape[1::-1], interpolation=cv2.INTER_CUBIC))


def _begun(small: Floats, missing: NDArray[np.bool_]) -> Floats:
    """Return a first guess, inpainted from the rim with Telea's method."""
    plane = missing.astype(np.uint8) * 255
    pixels = np.round(small).astype(np.uint8)
    return floats(cv2.inpaint(pixels, plane, 3, cv2.INPAINT_TELEA))


@dataclass(frozen=True, slots=True, eq=False)
class _Patches:
    """Centres (y, x) of patches, which are also their corners in a padded copy."""

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]

    @classmethod
    def where(cls, plane: NDArray[np.bool_], most: int | None = None) -> _Patches:
        rows, columns = np.nonzero(plane)
        if most is not None and len(rows) > most:
            chosen = np.linspace(0, len(rows) - 1, most).astype(np.int64)
            rows, columns = rows[chosen], columns[chosen]
        return cls(rows, columns)

    def features(self, padded: Floats) -> Floats:
        """Return each patch as a row: its values and, with a small weight, its position."""
        views = np.lib.stride_tricks.sliding_window_view(
            padded, (2 * _HALF + 1, 2 * _HALF + 1), axis=(0, 1)
        )
        values = views[self.rows, self.columns].reshape(len(self.rows), -1)
        place = np.stack([self.rows, self.columns], axis=-1) * _NEARNESS
        return floats(np.concatenate([values, place], axis=1))


def _vote(small: Floats, missing: NDArray[np.bool_], rounds: int) -> tuple[Floats, Floats]:
    """Return the small copy after voting on its hole, and each pixel's offset (x, y) to a match."""
    side = 2 * _HALF + 1
    touched = cv2.dilate(missing.astype(np.uint8), np.ones((side, side), np.uint8)) > 0
    if touched.all():
        return small, np.zeros((*missing.shape, 2), np.float32)
    known, unsure = _Patches.where(~touched, _KNOWN), _Patches.where(touched)
    offsets = np.zeros((*missing.shape, 2), np.float32)
    keys = known.features(_padded(small))
    lengths = (keys**2).sum(axis=1)
    for _ in range(rounds):
        queries = unsure.features(_padded(small))
        scores = lengths[None] - 2 * queries @ keys.T  # [unsure, known]
        best = scores.argmin(axis=1)
        distance = scores[np.arange(len(best)), best] + (queries**2).sum(axis=1)
        small = np.where(missing[..., None], _mean(small, known, unsure, best, distance), small)
        offsets[unsure.rows, unsure.columns, 0] = known.columns[best] - unsure.columns
        offsets[unsure.rows, unsure.columns, 1] = known.rows[best] - unsure.rows
    return small, offsets


def _mean(
    small: Floats, known: _Patches, unsure: _Patches, best: NDArray[np.intp], distance: Floats
) -> Floats:
    """Return each pixel as the mean over the matches of its patches, weighted by similarity."""
    spread = 2 * max(float(np.percentile(distance, 75)), 1.0)
    trust = np.exp(-np.maximum(distance, 0) / spread).astype(np.float32) + 1e-6
    source = _padded(small)
    total = np.zeros_like(source)
    weight = np.zeros(source.shape[:2], np.float32)
    for down in range(2 * _HALF + 1):
        for across in range(2 * _HALF + 1):
            found = source[known.rows[best] + down, known.columns[best] + across]
            # all centres differ, so no index repeats for one position in the patch
            total[unsure.rows + down, unsure.columns + across] += found * trust[:, None]
            weight[unsure.rows + down, unsure.columns + across] += trust
    inner = slice(_HALF, -_HALF)
    return floats(total[inner, inner] / np.maximum(weight[inner, inner], 1e-6)[..., None])


def _padded(small: Floats) -> Floats:
    return floats(cv2.copyMakeBorder(small, _HALF, _HALF, _HALF, _HALF, cv2.BORDER_REFLECT_101))
