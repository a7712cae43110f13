import numpy as np

from editloop.rating.davidson import FIRST, SECOND, Comparisons, fit_davidson
from editloop.rating.robustness import circular, few_votes, without_each_rater
from rating_studies import simulate


def test_a_rater_who_decides_is_found() -> None:
    """Nine raters are even between two editors; the tenth always prefers the first one."""
    rater = np.repeat(np.arange(10), 10)
    outcome = np.where(np.arange(100) % 2 == 0, FIRST, SECOND)
    outcome[rater == 3] = FIRST
    outcome[0] = SECOND  # without rater 3 the other editor leads
    votes = Comparisons(np.zeros(100, int), np.ones(100, int), outcome, 2)
    most = without_each_rater(votes, fit_davidson(votes), rater)[0]
    assert most.rater == 3
    assert most.leader_changes


def test_the_few_votes_that_decide_are_counted() -> None:
    """52 votes to 48: without five of them the other one leads."""
    outcome = np.array([FIRST] * 52 + [SECOND] * 48)
    votes = Comparisons(np.zeros(100, int), np.ones(100, int), outcome, 2)
    found = few_votes(votes, fit_davidson(votes))
    assert found is not None
    assert (found.challenger, found.votes) == (1, 5)


def test_a_clear_leader_does_not_fall_with_few_votes() -> None:
    outcome = np.array([FIRST] * 90 + [SECOND] * 10)
    votes = Comparisons(np.zeros(100, int), np.ones(100, int), outcome, 2)
    assert few_votes(votes, fit_davidson(votes)) is None


def test_a_circle_is_found_and_a_plain_order_has_none() -> None:
    first, second = np.array([0, 1, 2] * 20), np.array([1, 2, 0] * 20)
    outcome = np.array([FIRST] * 48 + [SECOND] * 12)
    (circle,) = circular(Comparisons(first, second, outcome, 3))
    assert circle.editors == (0, 1, 2)
    assert circle.weakest == (16 - 4) / np.sqrt(20)
    assert circular(simulate(np.random.default_rng(0), effect=0, items=300).votes) == []
