"""Registration of a pair: how far a target is shifted, zoomed or stretched against its source.

Both pictures are cut into blocks; each block of the source is sought in the target by normalised
cross-correlation of gradients, which changes of colour and light hardly touch. A robust fit of one
shift and two scales to the blocks' displacements leaves edited regions out. Features (SIFT, matched
under USAC-MAGSAC) give the start where the displacement is too large to be sought.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import cv2
import numpy as np
from numpy.typing import NDArray

from editloop.filters.block_matching import FEWEST, Displacement, Floats, match_blocks
from editloop.schema import Mask, Pixels

__all__ = ["Registration", "aligned_pair", "displacement", "register"]


_SIDE = 512  # pixels of the short side in which displacements are told
_SIDES = (512, 192)  # at which pairs are compared: the second where the first finds too little
_BLOCKS = {512: 48, 192: 32}  # sides of blocks in pixels
_REACHES = {512: 12, 192: 8}  # pixels that a block is sought in each direction
_TOLERANCE = 1.5  # pixels of the 512: a corner may be displaced so far
_ERRORS = 5.5  # standard errors that make a displacement sure
_STRETCHED = 0.006  # a difference of the two scales
_ZOOMED = 0.003
_SUPPORT = 0.45  # share of the found blocks that must agree


@dataclass(frozen=True, slots=True)
class Registration:
    """A target's displacement: position in target = scale * (position in source) + shift.

    Positions are relative to the picture's centre. `shift_x` and `shift_y` are in pixels of the
    source, `scale_x` and `scale_y` are 1 where nothing is zoomed. `support` is the share of the
    blocks that were found again and agree; below 0.45 the displacement is not known, and it is 0.
    `error` is the standard error of a corner's displacement, in pixels of a picture of 512 pixels.
    """

    shift_x: float
    shift_y: float
    scale_x: float
    scale_y: float
    support: float
    error: float
    width: int
    height: int

    @property
    def known(self) -> bool:
        """Return whether enough blocks agree on a displacement."""
        return self.support >= _SUPPORT

    @property
    def largest(self) -> float:
        """The largest displacement of a corner in pixels of a picture of 512 pixels."""
        x = abs(self.shift_x) + abs(self.scale_x - 1) * self.width / 2
        y = abs(self.shift_y) + abs(self.scale_y - 1) * self.height / 2
        return float(np.hypot(x, y)) * _SIDE / min(self.width, self.height)

    @property
    def displaced(self) -> bool:
        """Return whether a corner is surely displaced by more than 1.5 pixels of 512."""
        return self.known and self.largest > max(_TOLERANCE, _ERRORS * self.error)

    @property
    def zoom(self) -> float:
        """The mean scale."""
        return (self.scale_x + self.scale_y) / 2

    @property
    def aspect(self) -> float:
        """The ratio of the two scales: 1 where the aspect is kept."""
        return self.scale_x / self.scale_y


def register(source: Pixels, target: Pixels, mask: Mask | None = None) -> Registration:
    """Return the displacement of `target`; both are [height, width, 3] in 0..255, of one size.

    `mask` [height, width] is white where editing was allowed: what may have changed is not compared
    if enough of the rest has texture.
    """
    if source.shape != target.shape or source.ndim != 3:
        raise ValueError(f"pictures of one size are needed: {source.shape} and {target.shape}")
    height, width = source.shape[:2]
    masks = [None] if mask is None else [mask, None]
    for side, allowed in product(_SIDES, masks):
        found = _compared(source, target, side, allowed)
        if found.support >= _SUPPORT:
            x, y = found.shift / side * min(height, width)
            wide, high = map(float, found.scale)
            error = found.error / side * _SIDE
            return Registration(float(x), float(y), wide, high, found.support, error, width, height)
    return Registration(0.0, 0.0, 1.0, 1.0, found.support, 0.0, width, height)


def _compared(source: Pixels, target: Pixels, side: int, mask: Mask | None) -> Displacement:
    """Return the fit at a short side of `side` pixels."""
    height, width = source.shape[:2]
    scale = side / min(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    sought = {"block": _BLOCKS[side], "reach": _REACHES[side]}
    greys = [_resized(picture, size) for picture in (source, target)]
    before, after = (_gradients(grey) for grey in greys)
    if mask is not None:
        edited = cv2.resize(mask, size, interpolation=cv2.INTER_AREA) >= 128
        before = np.where(edited, np.nan, before)  # no block with such a pixel is sought
    best = match_blocks(before, after, np.eye(2, 3, dtype=np.float32), **sought)
    if best.support < _SUPPORT:
        start = _features(*greys)
        if start is not None:
            other = match_blocks(before, after, start, **sought)
            best = max(best, other, key=lambda each: each.support)
    return best


def displacement(found: Registration) -> tuple[str, str]:
    """Return lint's code and the amount of a displacement: `shifted`, `zoomed` or `aspect`."""
    shift = f"{found.shift_x:+.1f}, {found.shift_y:+.1f} pixels"
    if abs(found.aspect - 1) > _STRETCHED:
        return "aspect", f"stretched by {100 * (found.aspect - 1):+.1f}%"
    if abs(found.zoom - 1) > _ZOOMED:
        return "zoomed", f"{100 * (found.zoom - 1):+.1f}%, shifted by {shift}"
    return "shifted", shift


def aligned_pair(
    source: Pixels, target: Pixels, found: Registration
) -> tuple[Pixels, Pixels, tuple[int, int, int, int]]:
    """Return source and target cropped to what both show, the target resampled onto the source.

    The crop is (left, top, right, bottom) in pixels of the source; a mask takes the same one.
    """
    height, width = source.shape[:2]
    matrix = _matrix(found)
    moved = cv2.warpAffine(
        target,
        matrix,
        (width, height),
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    corners = np.array([[0, 0], [width - 1, height - 1]], np.float64)
    inverse = cv2.invertAffineTransform(matrix)
    (left, top), (right, bottom) = corners @ inverse[:, :2].T + inverse[:, 2]
    crop = (
        max(0, int(np.ceil(left - 1e-3))),
        max(0, int(np.ceil(top - 1e-3))),
        min(width, int(np.floor(right + 1e-3)) + 1),
        min(height, int(np.floor(bottom + 1e-3)) + 1),
    )
    rows, columns = slice(crop[1], crop[3]), slice(crop[0], crop[2])
    return source[rows, columns], moved[rows, columns].astype(np.uint8), crop


def _matrix(found: Registration) -> NDArray[np.float64]:
    """Return the map from pixels of the source to pixels of the target, [2, 3]."""
    centre = np.array([(found.width - 1) / 2, (found.height - 1) / 2])
    scale = np.array([found.scale_x, found.scale_y])
    shift = centre + np.array([found.shift_x, found.shift_y]) - scale * centre
    return np.column_stack([np.diag(scale), shift])


def _resized(picture: Pixels, size: tuple[int, int]) -> Floats:
    grey: Floats = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    if (grey.shape[1], grey.shape[0]) == size:
        return grey
    shrinks = size[0] < grey.shape[1]
    way = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    resized: Floats = cv2.resize(grey, size, interpolation=way)
    return resized


def _gradients(grey: Floats) -> Floats:
    """Return the strength of the gradients with its local scale taken out."""
    smooth = cv2.GaussianBlur(grey, (0, 0), 1.0)
    strength = cv2.magnitude(
        cv2.Sobel(smooth, cv2.CV_32F, 1, 0, ksize=3), cv2.Sobel(smooth, cv2.CV_32F, 0, 1, ksize=3)
    )
    root: Floats = np.sqrt(strength)
    return root


def _features(before: Floats, after: Floats) -> Floats | None:
    """Return the similarity transform of SIFT features, [2, 3]; None if few agree."""
    sift = cv2.SIFT.create(1500)
    one, two = (sift.detectAndCompute(each.astype(np.uint8), None) for each in (before, after))
    if one[1] is None or two[1] is None or min(len(one[0]), len(two[0])) < FEWEST:
        return None
    matches = cv2.BFMatcher(cv2.NORM_L2).knnMatch(one[1], two[1], k=2)
    good = [m[0] for m in matches if len(m) == 2 and m[0].distance < 0.75 * m[1].distance]
    if len(good) < FEWEST:
        return None
    start = np.array([one[0][m.queryIdx].pt for m in good], np.float32)
    end = np.array([two[0][m.trainIdx].pt for m in good], np.float32)
    matrix, inliers = cv2.estimateAffine2D(start, end, method=cv2.USAC_MAGSAC)
    if matrix is None or inliers.sum() < FEWEST:
        return None
    matrix = matrix.copy()
    matrix[0, 1] = matrix[1, 0] = 0.0  # a shift and two scales
    plain: Floats = matrix.astype(np.float32)
    return plain
