import numpy as np
import pytest
import trueskill

from editloop.rating.davidson import SECOND, TIE
from editloop.rating.trueskill import skills, trueskill_summary
from rating_studies import simulate


def test_the_scores_are_those_of_the_package_trueskill() -> None:
    votes = simulate(np.random.default_rng(0), items=10).votes
    ratings = [trueskill.Rating() for _ in range(votes.editors)]
    for first, second, outcome in zip(votes.first, votes.second, votes.outcome, strict=True):
        winner, loser = (second, first) if outcome == SECOND else (first, second)
        ratings[winner], ratings[loser] = trueskill.rate_1vs1(
            ratings[winner], ratings[loser], drawn=outcome == TIE
        )
    mu, sigma = skills(votes, np.arange(len(votes))[None])
    assert mu[0] == pytest.approx([each.mu for each in ratings], abs=1e-6)
    assert sigma[0] == pytest.approx([each.sigma for each in ratings], abs=1e-6)


def test_sigma_does_not_fall_with_more_votes_and_the_order_changes_the_scores() -> None:
    rng = np.random.default_rng(1)
    small, large = simulate(rng, items=20), simulate(rng, items=100)
    few = trueskill_summary(small.votes, small.items, rng)
    many = trueskill_summary(large.votes, large.items, rng)
    assert many.sigma == pytest.approx(few.sigma, abs=0.06)  # five times as many votes
    assert (many.order_spread > 0.3).all()
    assert (many.high - many.low < few.high - few.low).all()  # an interval that learns


def test_minus_one_in_an_order_is_no_vote() -> None:
    votes = simulate(np.random.default_rng(0), items=2).votes
    own = np.arange(len(votes))
    padded = np.append(own, [-1, -1])
    for plain, other in zip(skills(votes, own[None]), skills(votes, padded[None]), strict=True):
        assert np.array_equal(plain, other)
