"""A picture's details by octave, and the details that other pictures do not explain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import cv2
import numpy as np

from editloop.darkroom.measures import Floats, cells

__all__ = ["Octaves", "energy", "mix", "octaves", "strange"]

Octaves: TypeAlias = tuple[Floats, ...]  # from fine to coarse, each half the size of the one before

_COARSEST = 16  # shorter side at which the pyramid ends
_BLURS = (1.0, 2.0)  # sigmas, in pixels of the octave
_CELLS = 8  # along the shorter side
_WIDESPREAD = 0.75
_SLACK = 1e-3  # levels squared: keeps least squares solvable where there are no details


def octaves(image: Floats) -> Octaves:
    """Return the Laplacian pyramid (Burt and Adelson, 1983) of [h, w], without its residual."""
    bands = []
    while min(image.shape) > _COARSEST:
        smaller = cv2.pyrDown(image)
        bands.append(image - cv2.pyrUp(smaller, dstsize=image.shape[::-1]))
        image = smaller
    return tuple(bands)


def mix(first: Octaves, second: Octaves, share: float) -> Octaves:
    """Return the details of a blend that is `share` of the way from one picture to another."""
    part = np.float32(share)
    return tuple(one + part * (two - one) for one, two in zip(first, second, strict=True))


def energy(image: Octaves, region: Floats) -> float:
    """Return the mean square of the details over a region [h, w], summed over octaves."""
    return sum(_mean_square(band, weight) for band, weight in _pairs(image, region))


def strange(image: Octaves, known: Sequence[Octaves], expected: Octaves, region: Floats) -> float:
    """Return the energy of a region's details that the known pictures do not explain.

    In each octave, the known details and blurred copies of them are fitted by least squares, so
    that a blend and a blur are explained. The residual counts, and the fit's amplitude in excess of
    the expected picture's. The result is the `_WIDESPREAD` quantile over the region's cells: an
    artefact is everywhere, and a change in one place is not an artefact.
    """
    share = cells(region, _CELLS)
    total = np.zeros_like(share)
    for (band, weight), hoped, *others in zip(_pairs(image, region), expected, *known, strict=True):
        columns = np.stack([*others, *_blurred(others)])
        fit = _fit(columns.reshape(len(columns), -1), band.reshape(-1), weight.reshape(-1))
        fitted = fit.reshape(band.shape)
        squares = np.dstack([(band - fitted) ** 2, fitted**2, hoped**2]) * weight[..., None]
        coarse = cv2.resize(squares, share.shape[::-1], interpolation=cv2.INTER_AREA)
        left, has, should = np.moveaxis(coarse, 2, 0)
        total = total + left + np.maximum(0, np.sqrt(has) - np.sqrt(should)) ** 2
    there = share > 0.25
    if not there.any():
        return 0.0
    return float(np.quantile((total / np.maximum(share, 0.25))[there], _WIDESPREAD))


def _blurred(bands: Sequence[Floats]) -> list[Floats]:
    return [cv2.GaussianBlur(band, (0, 0), sigma) for band in bands for sigma in _BLURS]


def _fit(columns: Floats, values: Floats, weight: Floats) -> Floats:
    """Return the weighted least-squares fit of `values` [n] by `columns` [k, n]."""
    weighted = columns * (weight / weight.sum())
    normal = (weighted @ columns.T).astype(np.float64)
    normal[np.diag_indices(len(columns))] += _SLACK
    factors = np.linalg.solve(normal, weighted @ values)
    return factors.astype(np.float32) @ columns


def _pairs(image: Octaves, region: Floats) -> list[tuple[Floats, Floats]]:
    pairs = []
    for band in image:
        if band.shape != region.shape:
            region = cv2.pyrDown(region)
        pairs.append((band, region))
    return pairs


def _mean_square(band: Floats, weight: Floats) -> float:
    return float((weight * band * band).sum() / max(float(weight.sum()), 1e-6))
