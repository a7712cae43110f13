import numpy as np
import pytest

from editloop.sources.fitting import Fit, fitted


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
