import numpy as np
import pytest

from editloop.models.masks import mask_picture, resized_mask, soft_mask
from editloop.runtime.seeding import generator

ODD = [(1, 1), (7, 1000), (1000, 7), (513, 511), (512, 512), (1, 3000), (333, 500), (2, 5)]


def cross():
    """A plus sign in rows 2-6 and columns 3-7 of 10 x 12."""
    mask = np.zeros((10, 12), np.uint8)
    mask[2:7, 5] = 255
    mask[4, 3:8] = 255
    return mask


@pytest.mark.parametrize("size", ODD)
def test_a_mask_stays_of_two_levels(size) -> None:
    mask = (generator("mask", *size).random(size) > 0.5) * np.uint8(255)
    made = resized_mask(mask, (24, 16))
    assert made.shape == (24, 16)
    assert made.dtype == np.uint8
    assert set(np.unique(made)) <= {0, 255}


def test_a_tiny_region_does_not_vanish() -> None:
    mask = np.zeros((1000, 1000), np.uint8)
    mask[730, 270] = 255
    made = resized_mask(mask, (10, 10))
    assert np.argwhere(made == 255).tolist() == [[7, 2]]


@pytest.mark.parametrize("value", [0, 255])
def test_a_mask_of_one_level_stays_it(value) -> None:
    assert np.array_equal(
        resized_mask(np.full((30, 50), value, np.uint8), (8, 16)), np.full((8, 16), value, np.uint8)
    )


def test_a_soft_mask_is_s_in_the_box_and_the_fine_mask_elsewhere() -> None:
    fine = cross()
    made = soft_mask(fine, 0.4)
    expected = np.zeros((10, 12), np.uint8)
    expected[2:7, 3:8] = 102
    expected[fine == 255] = 255
    assert np.array_equal(made, expected)


@pytest.mark.parametrize(("softness", "inside"), [(0.0, 0), (0.2, 51), (1.0, 255)])
def test_softness_runs_from_the_fine_mask_to_the_box(softness, inside) -> None:
    assert soft_mask(cross(), softness)[2, 3] == inside


def test_softening_leaves_the_fine_mask_as_it_was() -> None:
    fine = cross()
    soft_mask(fine, 0.5)
    assert np.array_equal(fine, cross())


@pytest.mark.parametrize("value", [0, 255])
def test_a_mask_of_nothing_or_everything_has_nothing_soft(value) -> None:
    mask = np.full((5, 6), value, np.uint8)
    assert np.array_equal(soft_mask(mask, 0.5), mask)


def test_a_mask_becomes_a_grey_picture() -> None:
    made = mask_picture(soft_mask(cross(), 0.5))
    assert made.shape == (10, 12, 3)
    assert made[4, 5].tolist() == [255, 255, 255]
    assert made[2, 3].tolist() == [128, 128, 128]
