import numpy as np
import pytest

from editloop.runtime.shuffling import shuffled


@pytest.mark.parametrize("count", [1, 2, 3, 10, 1000, 4097])
def test_every_number_comes_once(count) -> None:
    whole = shuffled(np.arange(count), count, "seed", 1)
    assert sorted(whole.tolist()) == list(range(count))
    assert shuffled(np.arange(count)[-1:], count, "seed", 1) == whole[-1:]


@pytest.mark.slow
def test_all_orders_of_a_few_numbers_are_equally_likely() -> None:
    drawn = [tuple(shuffled(np.arange(4), 4, seed).tolist()) for seed in range(2400)]
    orders, counts = np.unique(drawn, axis=0, return_counts=True)
    assert len(orders) == 24
    assert ((counts - 100) ** 2 / 100).sum() < 50  # chi-squared, 23 degrees: p = 0.001


def test_neighbours_are_torn_apart() -> None:
    order = shuffled(np.arange(10_000), 10_000, 7)
    assert abs(np.corrcoef(order[:-1], order[1:])[0, 1]) < 0.04
    assert abs(np.corrcoef(order, np.arange(10_000))[0, 1]) < 0.04
    assert (order == shuffled(np.arange(10_000), 10_000, 8)).sum() < 10
