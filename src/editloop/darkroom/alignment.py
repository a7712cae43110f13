"""Global motion of a picture: apply it, or estimate it between two pictures.

The motion is the one that faulty generators cause: a shift and a zoom about the centre.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from editloop.darkroom.measures import Floats

__all__ = ["STILL", "Motion", "align", "warp"]

_Array = TypeVar("_Array", bound=np.generic)

_SIDES = (16, 32, 64, 128)  # shorter sides of the pyramid, from coarse to fine
_ROUNDS = 4  # maximum number of Gauss-Newton steps per level
_SETTLED = 1e-4  # iteration stops at a smaller step, as a share of the side
_ALIKE = 5e-4  # below this share of unexplained variance nothing moved
_SNAP = 0.25  # pixels at the finest level
_GAIN = 0.6  # a motion is accepted if it leaves less than this share of the unexplained variance


@dataclass(frozen=True, slots=True)
class Motion:
    """A zoom about the centre, then a shift, independent of the resolution.

    `right` and `down` are shares of the shorter side, `zoom` is a factor.
    """

    right: float = 0.0
    down: float = 0.0
    zoom: float = 1.0


STILL = Motion()
_STARTS = (STILL, Motion(zoom=1.12), Motion(zoom=1.25))


def warp(pixels: NDArray[_Array], motion: Motion) -> NDArray[_Array]:
    """Apply a motion to a picture [h, w] or [h, w, c]; bilinear, with mirrored borders."""
    if motion == STILL:
        return pixels
    height, width = pixels.shape[:2]
    side, rest = min(height, width), 1 - motion.zoom
    matrix = np.array(
        [
            [motion.zoom, 0, motion.right * side + rest * (width - 1) / 2],
            [0, motion.zoom, motion.down * side + rest * (height - 1) / 2],
        ]
    )
    moved: NDArray[_Array] = cv2.warpAffine(
        pixels, matrix, (width, height), borderMode=cv2.BORDER_REFLECT_101
    )
    return moved


def align(reference: Floats, moved: Floats, weight: Floats, start: Motion = STILL) -> Motion:
    """Estimate the motion from `reference` [h, w] to `moved`, weighted by `weight`.

    `weight` is aligned with the reference. Gauss-Newton on brightness constancy (Lucas and Kanade,
    1981) from coarse to fine, with a free gain and offset of brightness; `start` skips the coarsest
    search. Returns `STILL` unless the motion explains a good part of the difference.
    """
    images = (reference, moved, weight)
    full = min(*reference.shape, _SIDES[-1])
    sides = [*(side for side in _SIDES if side < full), full]
    levels = [tuple(_shrink(image, side) for image in images) for side in sides]
    if _unexplained(STILL, *levels[-1]) < _ALIKE:
        return STILL
    motion = start if start != STILL else _coarse(levels[0])
    for level in levels[1:]:
        finer = _settle(motion, level)
        motion = min(motion, finer, key=lambda way: _unexplained(way, *level))
    judged = levels[min(1, len(levels) - 1)]
    if _unexplained(motion, *judged) >= _GAIN * _unexplained(STILL, *judged):
        return STILL
    return _snapped(motion, min(reference.shape))


def _coarse(level: tuple[Floats, ...]) -> Motion:
    ways = [_settle(start, level) for start in _STARTS]
    return min(ways, key=lambda way: _unexplained(way, *level))


def _settle(motion: Motion, level: tuple[Floats, ...]) -> Motion:
    for _ in range(_ROUNDS):
        last, motion = motion, _step(motion, *level)
        if max(abs(motion.right - last.right), abs(motion.down - last.down)) < _SETTLED and (
            abs(motion.zoom - last.zoom) < _SETTLED
        ):
            break
    return motion


def _snapped(motion: Motion, side: int) -> Motion:
    """Round a motion that is nearly a shift by whole pixels, so that warping does not blur."""
    right, down = round(motion.right * side), round(motion.down * side)
    off = max(abs(motion.right * side - right), abs(motion.down * side - down))
    if off > _SNAP * max(1.0, side / _SIDES[-1]) or abs(motion.zoom - 1) * side / 2 > _SNAP:
        return motion
    return Motion(right / side, down / side)


def _shrink(array: Floats, side: int) -> Floats:
    """Resize a picture and smooth it a little, so that gradients reach further."""
    height, width = array.shape
    scale = side / min(height, width)
    if scale >= 1:
        return np.asarray(cv2.GaussianBlur(array, (0, 0), 0.8))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    smaller = cv2.resize(array, size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.GaussianBlur(smaller, (0, 0), 0.8))


def _step(motion: Motion, reference: Floats, moved: Floats, weight: Floats) -> Motion:
    """Return the motion after one Gauss-Newton step, clipped to the range that faults cause."""
    height, width = reference.shape
    side = min(height, width)
    now, weight = warp(reference, motion), warp(weight, motion)
    along = cv2.Sobel(now, cv2.CV_32F, 1, 0, ksize=3, scale=1 / 8)
    across = cv2.Sobel(now, cv2.CV_32F, 0, 1, ksize=3, scale=1 / 8)
    x = np.arange(width, dtype=np.float32) - (width - 1) / 2
    y = (np.arange(height, dtype=np.float32) - (height - 1) / 2)[:, None]
    level = np.ones_like(now)
    columns = np.stack([-along, -across, -(along * x + across * y), now - now.mean(), level])
    columns = columns.reshape(5, -1)
    weighted = columns * weight.reshape(1, -1)
    normal = weighted @ columns.T
    normal[np.diag_indices(5)] *= 1.00001
    normal[np.diag_indices(5)] += 1e-6
    right, down, zoom, _, _ = np.linalg.solve(normal, weighted @ moved.reshape(-1))
    return Motion(
        float(np.clip(motion.right + right / side, -0.15, 0.15)),
        float(np.clip(motion.down + down / side, -0.15, 0.15)),
        float(np.clip(motion.zoom * (1 + zoom), 0.7, 1.5)),
    )


def _unexplained(motion: Motion, reference: Floats, moved: Floats, weight: Floats) -> float:
    """Return the share of `moved`'s weighted variance not fitted by the warped reference."""
    now, weight = warp(reference, motion), warp(weight, motion)
    total = float(weight.sum()) + 1e-6
    first = now - float((weight * now).sum()) / total
    second = moved - float((weight * moved).sum()) / total
    shared = float((weight * first * second).sum())
    energy = float((weight * first * first).sum()) * float((weight * second * second).sum())
    return 1 - max(0.0, shared) * shared / (energy + 1e-6)
