"""Framing: what is placed comes back where it was, and other shapes are told."""

import numpy as np
import pytest

from editloop.editors.framing import frame_for
from editloop.editors.geometry import resized
from image_worlds import cup

OPENAI = [(1024, 1024), (1024, 1536), (1536, 1024)]


@pytest.mark.parametrize("size", [(48, 64), (50, 77), (16, 16), (1, 3)])
def test_a_picture_in_multiples_of_16_comes_back_to_the_bit(size) -> None:
    picture = cup(*size)
    frame = frame_for(size, 16)
    placed = frame.place(picture)
    assert placed.shape[:2] == frame.size
    assert all(side % 16 == 0 for side in frame.size)
    assert np.array_equal(frame.cut(placed), picture)


@pytest.mark.parametrize("size", [(48, 64), (64, 48), (50, 50), (20, 80)])
def test_a_picture_is_scaled_into_the_nearest_shape_without_distortion(size) -> None:
    frame = frame_for(size, OPENAI)
    assert frame.inner[0] / size[0] == pytest.approx(frame.inner[1] / size[1], rel=0.01)
    assert frame.inner[0] == frame.size[0] or frame.inner[1] == frame.size[1]
    picture = cup(*size)
    cut = frame.cut(frame.place(picture))
    assert np.abs(resized(cut, size).astype(float) - picture).mean() < 2
    assert frame_for(frame.inner, OPENAI).inner == frame.inner  # a session's next turn


def test_a_frame_at_half_the_size_is_mapped_back_and_another_shape_is_not() -> None:
    frame = frame_for((48, 64), OPENAI)
    placed = frame.place(cup())
    half = resized(placed, (placed.shape[0] // 2, placed.shape[1] // 2))
    assert frame.cut(half).shape == frame.cut(placed).shape
    assert np.abs(frame.cut(half).astype(float) - frame.cut(placed)).mean() < 2
    assert frame.cut(placed[: len(placed) * 3 // 4]) is None


def test_a_mask_stays_on_its_picture() -> None:
    frame = frame_for((50, 77), 16)
    mask = np.zeros((50, 77), np.uint8)
    mask[:10, :5] = 255
    placed = frame.place_mask(mask)
    assert placed.sum() == mask.sum()
    marked = np.where(mask[..., None] == 255, np.uint8(255), cup(50, 77) // 2)
    assert (frame.place(marked)[placed == 255] == 255).all()
