"""Bootstrap weights and percentile intervals."""

import numpy as np

from editloop.runtime.seeding import generator
from editloop.statistics.bootstrap import bootstrap_weights, percentile_interval


def test_every_resample_draws_as_many_cases_as_there_are() -> None:
    weights = bootstrap_weights([str(case) for case in range(17)], 400, generator("test", 17))
    assert weights.shape == (400, 17)
    assert set(weights.sum(axis=1)) == {17}
    assert weights.min() == 0


def test_cases_of_one_group_are_drawn_together() -> None:
    groups = ["s1", "s2", "s1", "s2", "s3", "s1"]
    weights = bootstrap_weights(groups, 50, generator("groups"))
    assert (weights[:, 0] == weights[:, 2]).all()
    assert (weights[:, 0] == weights[:, 5]).all()
    assert (weights[:, 1] == weights[:, 3]).all()
    assert (weights[:, 0] != weights[:, 1]).any()


def test_a_resample_draws_as_many_groups_as_there_are() -> None:
    weights = bootstrap_weights(["a", "b", "a"], 30, generator("groups"))
    assert set((weights[:, 0] + weights[:, 1]).tolist()) == {2.0}


def test_an_interval_of_nothing_is_none() -> None:
    assert percentile_interval(np.full(9, np.nan)) is None
