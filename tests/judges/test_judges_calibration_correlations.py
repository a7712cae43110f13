"""Correlations of a sample and of its resamples equal scipy's on the expanded lists."""

import numpy as np
import pytest
from scipy import stats

from editloop.judges.calibration.correlations import correlations, kendall, pearson, spearman

COEFFICIENTS = [(pearson, stats.pearsonr), (spearman, stats.spearmanr), (kendall, stats.kendalltau)]


@pytest.fixture
def numbers():
    rng = np.random.default_rng(3)
    x = np.round(rng.normal(50, 20, 300), 1)
    return x, np.round(0.4 * x + rng.normal(0, 12, 300)), rng  # many ties in y


@pytest.mark.parametrize(("ours", "theirs"), COEFFICIENTS)
def test_a_coefficient_is_scipys(ours, theirs, numbers) -> None:
    x, y, _ = numbers
    assert ours(x, y, np.ones((1, 300)))[0] == pytest.approx(theirs(x, y).statistic, abs=1e-6)


@pytest.mark.parametrize(("ours", "theirs"), COEFFICIENTS)
def test_a_resamples_coefficient_is_that_of_the_list_it_drew(ours, theirs, numbers) -> None:
    x, y, rng = numbers
    weights = rng.multinomial(300, np.full(300, 1 / 300), size=4).astype(float)
    drawn = [np.repeat(np.arange(300), row.astype(int)) for row in weights]
    expected = [theirs(x[rows], y[rows]).statistic for rows in drawn]
    assert ours(x, y, weights) == pytest.approx(expected, abs=1e-6)


def test_many_cases_are_compared_in_blocks_and_all_of_them(numbers) -> None:
    _, _, rng = numbers
    x, y = rng.normal(size=(2, 700))
    found = kendall(x, y, np.ones((1, 700)))[0]
    assert found == pytest.approx(stats.kendalltau(x, y).statistic, abs=1e-6)


def test_what_does_not_vary_correlates_with_nothing() -> None:
    x, weights = np.array([1.0, 2.0, 3.0, 4.0]), np.ones((10, 4))
    assert set(correlations(x, np.full(4, 7.0), weights).values()) == {None}


def test_cases_without_a_number_are_left_out(numbers) -> None:
    x, y, _ = numbers
    gaps = np.where(np.arange(300) < 100, np.nan, y)
    found = correlations(x, gaps, np.ones((5, 300)))["pearson"]
    assert found["count"] == 200
    assert found["mean"] == pytest.approx(stats.pearsonr(x[100:], y[100:]).statistic, abs=1e-6)
