"""Shapes of the pictures of one edit: equal up to rounding, nearly equal, and others."""

import pytest

from editloop.images.shapes import difference, is_near, same_shape


@pytest.mark.parametrize(
    ("first", "second", "same", "near"),
    [
        ((100, 200), (50, 100), True, True),
        ((33, 20), (16, 10), True, True),  # 3.1%, by the rounding of a side
        ((1024, 1366), (1024, 1360), False, True),
        ((1019, 728), (1022, 717), False, True),
        ((858, 1024), (896, 1152), False, False),
        ((100, 200), (200, 100), False, False),
    ],
)
def test_sizes_are_compared_by_their_aspect_ratios(
    first: tuple[int, int], second: tuple[int, int], same: bool, near: bool
) -> None:
    for pair in ((first, second), (second, first)):
        assert same_shape(*pair) is same
        assert is_near(*pair) is near
    assert difference(first, second) == pytest.approx(difference(second, first))
