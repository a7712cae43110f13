import numpy as np
import pytest

from editloop.sources.fitting import Fit, difference, fits, fitted


@pytest.mark.parametrize(
    ("source", "target", "near"),
    [
        ((1024, 1366), (1024, 1360), True),
        ((1019, 728), (1022, 717), True),
        ((858, 1024), (896, 1152), False),
    ],
)
def test_shapes_within_3_percent_fit(
    source: tuple[int, int], target: tuple[int, int], near: bool
) -> None:
    assert fits(target, source, "refuse") is near
    assert (difference(target, source) <= 0.03) is near
    assert difference(target, source) == pytest.approx(difference(source, target))


@pytest.mark.parametrize(
    ("fit", "edge", "middle"), [("resize", 200, 100), ("crop", 100, 100), ("pad", 0, 100)]
)
def test_a_wide_picture_is_fitted_as_asked(fit: Fit, edge: int, middle: int) -> None:
    wide = np.full((40, 80, 3), 100, np.uint8)
    wide[:, :10] = wide[:, -10:] = 200
    made = fitted(wide, (40, 40), fit)
    assert made.shape == (40, 40, 3)
    corner = made[0, 0, 0] if fit == "pad" else made[20, 1, 0]
    assert (corner, made[20, 20, 0]) == (edge, middle)
