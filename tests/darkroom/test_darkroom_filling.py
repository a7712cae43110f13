"""Filling a hole: the rest is unchanged, the filling plausible."""

from __future__ import annotations

import numpy as np
import pytest

from editloop.darkroom.filling import fill
from editloop.schema import Mask, Pixels


def _striped(height: int = 90, width: int = 120) -> Pixels:
    rows = np.where(np.arange(height) // 6 % 2 == 0, 60, 190).astype(np.uint8)
    return np.repeat(np.repeat(rows[:, None, None], width, axis=1), 3, axis=2)


def _hole(picture: Pixels) -> Mask:
    hole = np.zeros(picture.shape[:2], np.uint8)
    hole[30:58, 45:70] = 255
    return hole


def test_only_the_hole_changes() -> None:
    picture = _striped()
    hole = _hole(picture)
    spoilt = picture.copy()
    spoilt[hole > 0] = (255, 0, 0)
    filled = fill(spoilt, hole)
    assert np.array_equal(filled[hole == 0], picture[hole == 0])


def test_a_pattern_goes_on_through_the_hole() -> None:
    picture = _striped()
    hole = _hole(picture)
    spoilt = picture.copy()
    spoilt[hole > 0] = (255, 0, 0)
    error = np.abs(fill(spoilt, hole).astype(int) - picture)[hole > 0].mean()
    assert error < 20  # red would be off by 115, plain grey by 65


@pytest.mark.parametrize("shape", [(32, 32), (33, 200), (200, 40)])
def test_any_hole_of_any_size_is_filled(shape: tuple[int, int]) -> None:
    picture = np.random.default_rng(0).integers(0, 255, (*shape, 3), dtype=np.uint8)
    holes = ((slice(3), slice(3)), (slice(1, -1), slice(1, -1)), (slice(4), slice(None)))
    for rows, columns in holes:
        hole = np.zeros(shape, np.uint8)
        hole[rows, columns] = 255
        assert fill(picture, hole).shape == picture.shape


@pytest.mark.parametrize("value", [0, 255])
def test_no_hole_and_nothing_but_hole_leave_the_picture(value: int) -> None:
    picture = _striped()
    assert np.array_equal(fill(picture, np.full(picture.shape[:2], value, np.uint8)), picture)
