"""Displacements by blocks: one shift and two scales that most blocks of two pictures agree on."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["FEWEST", "Displacement", "Floats", "match_blocks"]

Floats = NDArray[np.float32]

FEWEST = 12  # blocks that must agree
_PRECISION = 0.05  # pixels: of one block
_TEXTURE = 1.0  # the least deviation in a block that can be sought
_ALIKE = 0.5  # the least correlation of a block that was found
_NEAR = 0.75  # pixels: blocks that agree with the fit
_ROUNDS = 400


@dataclass(frozen=True, slots=True)
class Displacement:
    """A fit in pixels: position in target = scale * position + shift, relative to the centre.

    `support` is the share of the found blocks that agree, `error` the standard error of a corner.
    """

    shift: NDArray[np.float64]
    scale: NDArray[np.float64]
    support: float
    error: float = 0.0


def match_blocks(
    before: Floats, after: Floats, start: Floats, *, block: int, reach: int
) -> Displacement:
    """Return the robust fit to the displacements of blocks of `before` found again in `after`.

    Blocks have sides of `block` pixels and are sought `reach` pixels around the place that `start`
    [2, 3] gives them; pixels that are NaN take no part. After the first fit `after` is brought back
    and sought again, so that zoom does not blur the peaks.
    """
    height, width = before.shape
    matrix = start.astype(np.float64)
    found = Displacement(np.zeros(2), np.ones(2), 0.0)
    for _ in range(2):
        moved = cv2.warpAffine(
            after, matrix, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        )
        places, offsets = _displacements(before, moved, block, reach)
        if len(places) < FEWEST:
            return found
        centre = np.array([(width - 1) / 2, (height - 1) / 2])
        shift, scale, near = _consensus(places - centre, offsets, 4 * block / 3)
        whole = np.vstack([matrix, [0, 0, 1]])
        step = np.eye(3)
        step[[0, 1], [0, 1]] = scale
        step[:2, 2] = centre + shift - scale * centre
        matrix = (whole @ step)[:2]
        total = np.array([matrix[0, 0], matrix[1, 1]])
        moved_centre = matrix[:, 2] - centre + total * centre
        if near.sum() < FEWEST:
            return Displacement(moved_centre, total, 0.0)
        error = _corner_error(places[near] - centre, offsets[near], centre)
        found = Displacement(moved_centre, total, float(near.mean()), error)
    return found


def _displacements(
    before: Floats, after: Floats, side: int, reach: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return centres [blocks, 2] and displacements [blocks, 2] of the blocks that were found."""
    places, offsets = [], []
    height, width = before.shape
    for top in range(reach, height - side - reach + 1, side // 2):
        for left in range(reach, width - side - reach + 1, side // 2):
            block = before[top : top + side, left : left + side]
            if not block.std() >= _TEXTURE:  # also where a block has pixels of the mask
                continue
            area = after[top - reach : top + side + reach, left - reach : left + side + reach]
            peak = _peak(cv2.matchTemplate(area, block, cv2.TM_CCOEFF_NORMED))
            if peak is not None:
                places.append((left + (side - 1) / 2, top + (side - 1) / 2))
                offsets.append((peak[0] - reach, peak[1] - reach))
    return np.array(places).reshape(-1, 2), np.array(offsets).reshape(-1, 2)


def _peak(score: Floats) -> tuple[float, float] | None:
    """Return the peak (x, y) with parabolic precision; None if it is weak or at the edge."""
    _, best, _, (x, y) = cv2.minMaxLoc(score)
    height, width = score.shape
    if best < _ALIKE or not (0 < x < width - 1 and 0 < y < height - 1):
        return None
    return x + _vertex(score[y, x - 1 : x + 2]), y + _vertex(score[y - 1 : y + 2, x])


def _vertex(three: Floats) -> float:
    left, middle, right = map(float, three)
    bend = left - 2 * middle + right
    return 0.0 if bend >= 0 else 0.5 * (left - right) / bend


def _consensus(
    places: NDArray[np.float64], offsets: NDArray[np.float64], apart: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Return shift, scale and which blocks agree (random sample consensus)."""
    rng = np.random.default_rng(0)
    pairs = rng.integers(len(places), size=(_ROUNDS, 2))
    pairs = pairs[(np.abs(places[pairs[:, 0]] - places[pairs[:, 1]]) > apart).all(axis=1)]
    best = np.linalg.norm(offsets - np.median(offsets, axis=0), axis=1) < _NEAR
    if len(pairs):
        one, two = pairs.T
        slope = (offsets[one] - offsets[two]) / (places[one] - places[two])
        shift = offsets[one] - slope * places[one]
        error = offsets[None] - slope[:, None] * places[None] - shift[:, None]
        near = np.linalg.norm(error, axis=2) < _NEAR
        top = int(near.sum(axis=1).argmax())
        if near[top].sum() > best.sum():
            best = near[top]
    for _ in range(3):
        if best.sum() < 3:
            break
        shift_now, slope_now = _least_squares(places[best], offsets[best])
        error = offsets - slope_now * places - shift_now
        best = np.linalg.norm(error, axis=1) < _NEAR
    if best.sum() < 3:
        return np.zeros(2), np.ones(2), best
    shift_now, slope_now = _least_squares(places[best], offsets[best])
    return shift_now, 1 + slope_now, best


def _corner_error(
    places: NDArray[np.float64], offsets: NDArray[np.float64], corner: NDArray[np.float64]
) -> float:
    """Return the standard error of a corner's displacement by the fit to these blocks.

    Blocks overlap by half, so four count as one.
    """
    shift, slope = _least_squares(places, offsets)
    count = max(1.0, len(places) / 4)
    variance = ((offsets - slope * places - shift) ** 2).mean(axis=0) + _PRECISION**2
    mean = places.mean(axis=0)
    spread = np.maximum(((places - mean) ** 2).mean(axis=0), 1.0)
    return float(np.sqrt((variance / count * (1 + (corner + np.abs(mean)) ** 2 / spread)).sum()))


def _least_squares(
    places: NDArray[np.float64], offsets: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return shift [2] and slope [2] of offsets = slope * places + shift, each axis alone."""
    mean, middle = places.mean(axis=0), offsets.mean(axis=0)
    spread = ((places - mean) ** 2).sum(axis=0)
    covariance = ((places - mean) * (offsets - middle)).sum(axis=0)
    slope = np.where(spread > 0, covariance / np.maximum(spread, 1e-9), 0.0)
    return middle - slope * mean, slope
