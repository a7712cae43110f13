import numpy as np
import pytest

from editloop.rating.davidson import FIRST, SECOND, TIE, Comparisons
from editloop.rating.pair_choice import choose_pair, pair_probabilities
from rating_studies import simulate

NONE = Comparisons(np.zeros(0, int), np.zeros(0, int), np.zeros(0, int), 4)


def test_before_the_first_vote_all_pairs_are_equal() -> None:
    found = pair_probabilities(NONE)
    assert list(found.values()) == pytest.approx([1 / 6] * 6)


def test_a_pair_with_few_votes_tells_most_and_every_pair_keeps_the_floor() -> None:
    votes = simulate(np.random.default_rng(0)).votes
    pair = np.minimum(votes.first, votes.second), np.maximum(votes.first, votes.second)
    with_three = (pair[1] == 3) & (np.arange(len(votes)) % 20 > 0)
    found = pair_probabilities(votes.where(~with_three))
    assert sum(found.values()) == pytest.approx(1)
    assert min(found.values()) >= 0.3 / 6
    rare = [chance for (_, two), chance in found.items() if two == 3]
    often = [chance for (_, two), chance in found.items() if two != 3]
    assert min(rare) > 2 * max(often)


def test_a_choice_balances_sides_and_items_and_logs_its_probability() -> None:
    rng = np.random.default_rng(0)
    first, second, outcome, items = [], [], [], []
    for _ in range(240):
        votes = Comparisons(*(np.array(each, int) for each in (first, second, outcome)), editors=4)
        choice = choose_pair(votes, np.array(items, int), np.arange(8), rng)
        low, high = sorted((choice.first, choice.second))
        assert choice.probability == pair_probabilities(votes)[low, high]
        first.append(choice.first)
        second.append(choice.second)
        items.append(choice.item)
        outcome.append(int(rng.choice([FIRST, TIE, SECOND])))
    for low in range(4):
        for high in range(low + 1, 4):
            there = sum((a, b) == (low, high) for a, b in zip(first, second, strict=True))
            back = sum((a, b) == (high, low) for a, b in zip(first, second, strict=True))
            assert abs(there - back) <= 1
            assert there + back >= 240 * 0.3 / 6 / 2
    assert max(np.bincount(items)) - min(np.bincount(items)) <= 12
