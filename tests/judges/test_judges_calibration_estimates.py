"""Means and shares with intervals."""

import numpy as np
import pytest

from editloop.judges.calibration.estimates import mean_of, share_of
from editloop.statistics.bootstrap import bootstrap_weights


def alone(count: int) -> list[str]:
    return [str(at) for at in range(count)]


def test_a_share_of_independent_cases_has_wilsons_interval() -> None:
    found = share_of(np.array([1.0] * 8 + [0.0] * 2), alone(10))
    # The result of R's prop.test(8, 10, correct = FALSE).
    assert [found["low"], found["high"]] == pytest.approx([0.4901625, 0.9433178], abs=1e-6)
    assert found["mean"] == 0.8


def test_a_share_without_a_miss_leaves_room_for_one() -> None:
    found = share_of(np.ones(40), alone(40))
    assert found["mean"] == found["high"] == 1
    assert found["low"] == pytest.approx(40 / (40 + 1.959964**2), abs=1e-6)


def test_cases_that_go_together_count_less() -> None:
    hits = np.array(([1.0] * 10 + [0.0] * 10) * 5)
    together = [str(at // 10) for at in range(100)]
    wide, narrow = share_of(hits, together), share_of(hits, alone(100))
    assert wide["high"] - wide["low"] > 2.5 * (narrow["high"] - narrow["low"])


def test_what_is_missing_is_in_no_share_and_no_mean() -> None:
    values = np.array([1.0, np.nan, 0.0, np.nan])
    weights = bootstrap_weights(alone(4), 50, np.random.default_rng(0))
    assert share_of(values, alone(4))["count"] == mean_of(values, weights)["count"] == 2
    assert mean_of(values, weights)["mean"] == 0.5


def test_nothing_at_all_is_no_number() -> None:
    nothing = np.full(3, np.nan)
    assert share_of(nothing, alone(3)) is None
    assert mean_of(nothing, np.ones((5, 3))) is None


def test_a_means_interval_is_the_percentiles_of_the_resampled_means() -> None:
    rng = np.random.default_rng(1)
    values, weights = rng.normal(60, 10, 80), bootstrap_weights(alone(80), 400, rng)
    means = [np.average(values, weights=row) for row in weights]
    found = mean_of(values, weights)
    assert [found["low"], found["high"]] == pytest.approx(
        np.percentile(means, [2.5, 97.5]), abs=1e-4
    )
