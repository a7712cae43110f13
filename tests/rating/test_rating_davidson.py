import evalica
import numpy as np
import pytest
from scipy.optimize import minimize

from editloop.rating.davidson import (
    FIRST,
    SECOND,
    TIE,
    Comparisons,
    components,
    fit_davidson,
    fit_half_wins,
    is_separated,
)
from rating_studies import simulate


def comparisons(*rows: tuple[int, int, int], editors: int = 3) -> Comparisons:
    first, second, outcome = (np.array(column) for column in zip(*rows, strict=True))
    return Comparisons(first, second, outcome, editors)


def independent_fit(votes: Comparisons) -> np.ndarray:
    """Maximise the likelihood of Davidson's model, written anew, without gradients of our own."""

    def loss(free: np.ndarray) -> float:
        scores = np.append(free[:-2], -free[:-2].sum())
        position, tie = free[-2:]
        half = (scores[votes.first] - scores[votes.second] + position) / 2
        logits = np.stack([half, np.full(len(half), tie), -half])
        chosen = logits[votes.outcome, np.arange(len(half))]
        return float((np.log(np.exp(logits).sum(axis=0)) - chosen).sum())

    found = minimize(loss, np.zeros(votes.editors + 1), method="BFGS", options={"gtol": 1e-7})
    scores = np.append(found.x[:-2], -found.x[:-2].sum())
    return np.append(scores, found.x[-2:])


@pytest.mark.parametrize("seed", range(5))
def test_the_fit_is_that_of_an_independent_optimiser(seed: int) -> None:
    votes = simulate(np.random.default_rng(seed), items=20).votes
    fit = fit_davidson(votes)
    assert [*fit.scores, fit.position, fit.tie] == pytest.approx(
        independent_fit(votes).tolist(), abs=1e-4
    )


def test_without_ties_the_scores_are_those_of_evalica() -> None:
    votes = simulate(np.random.default_rng(3)).votes
    votes = votes.where(votes.outcome != TIE)
    winners = [
        evalica.Winner.X if each == FIRST else evalica.Winner.Y for each in votes.outcome.tolist()
    ]
    names = ["abcd"[each] for each in votes.first], ["abcd"[each] for each in votes.second]
    found = evalica.bradley_terry(*names, winners, tolerance=1e-10, limit=10_000).scores
    other = np.log([found[name] for name in "abcd"])
    fit = fit_davidson(votes, position=False)
    assert fit.tie is None
    assert fit.scores == pytest.approx(other - other.mean(), abs=1e-4)
    assert fit_half_wins(votes, position=False) == pytest.approx(fit.scores, abs=1e-8)


def test_a_tie_is_half_a_win_for_both_only_in_the_half_win_scores() -> None:
    votes = comparisons(*[(0, 1, FIRST)] * 6, *[(0, 1, SECOND)] * 2, *[(0, 1, TIE)] * 8, editors=2)
    scores = fit_davidson(votes, position=False).scores
    assert scores[0] - scores[1] == pytest.approx(np.log(3), abs=1e-8)  # 6 wins to 2
    halves = fit_half_wins(votes, position=False)
    assert halves[0] - halves[1] == pytest.approx(np.log(10 / 6), abs=1e-8)


def test_a_side_that_is_preferred_does_not_change_the_scores() -> None:
    """Each editor wins 80% of the votes in which it is shown first."""
    rows = [(0, 1, FIRST), (1, 0, FIRST)] * 8 + [(0, 1, SECOND), (1, 0, SECOND)] * 2
    fit = fit_davidson(comparisons(*rows, editors=2))
    assert fit.position == pytest.approx(np.log(4), abs=1e-8)
    assert fit.scores == pytest.approx([0, 0], abs=1e-8)


def test_the_position_is_left_out_if_every_pair_has_one_order() -> None:
    rows = [(0, 1, FIRST), (0, 1, FIRST), (0, 1, SECOND)]
    fit = fit_davidson(comparisons(*rows, editors=2))
    assert fit.position is None
    assert fit.scores[0] - fit.scores[1] == pytest.approx(np.log(2), abs=1e-8)


def test_an_unbeaten_editor_gets_a_finite_score_from_the_prior() -> None:
    rows = [(0, 1, FIRST)] * 4 + [(1, 2, FIRST), (1, 2, SECOND)] * 3
    votes = comparisons(*rows)
    assert is_separated(votes)
    fit = fit_davidson(votes)
    assert fit.prior
    assert np.isfinite(fit.scores).all()
    assert fit.scores[0] > max(fit.scores[1:])


def test_only_ties_make_equal_scores() -> None:
    fit = fit_davidson(comparisons((0, 1, TIE), (1, 2, TIE), (2, 0, TIE)))
    assert fit.scores == pytest.approx([0, 0, 0], abs=1e-6)


def test_votes_that_never_meet_are_two_groups() -> None:
    votes = comparisons((0, 1, FIRST), (2, 3, TIE), editors=5)
    assert components(votes) == [[0, 1], [2, 3], [4]]
