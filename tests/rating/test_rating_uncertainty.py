import numpy as np
import pytest

from editloop.rating.davidson import fit_davidson
from editloop.rating.uncertainty import (
    Covariance,
    naive_covariance,
    pigeonhole_scores,
    rank_intervals,
    score_intervals,
    two_way_mean,
)
from rating_studies import simulate


@pytest.mark.slow
def test_two_way_intervals_cover_the_true_scores_and_naive_ones_do_not() -> None:
    """The true score is that of the population: the fit to a study of many items and raters."""
    rng = np.random.default_rng(0)
    truth = fit_davidson(simulate(rng, items=6000, raters=6000).votes).scores
    covered = np.zeros(2)
    for _ in range(1000):
        study = simulate(rng)
        fit = fit_davidson(study.votes)
        error = np.abs(fit.scores - truth)
        wide = score_intervals(fit, study.items, study.raters).half_widths
        covered += (error < naive_covariance(fit).half_widths).mean(), (error < wide).mean()
    naive, two_way = covered / 1000
    assert naive < 0.85
    assert 0.92 <= two_way <= 0.98


def test_without_item_and_rater_effects_both_intervals_are_alike() -> None:
    study = simulate(np.random.default_rng(1), items=400, raters=40, effect=0)
    fit = fit_davidson(study.votes)
    wide = score_intervals(fit, study.items, study.raters).half_widths
    assert wide == pytest.approx(naive_covariance(fit).half_widths, rel=0.5)


def test_the_pigeonhole_bootstrap_spreads_about_as_far() -> None:
    rng = np.random.default_rng(2)
    study = simulate(rng)
    fit = fit_davidson(study.votes)
    found = pigeonhole_scores(study.votes, fit, study.items, study.raters, resamples=200, rng=rng)
    matrix = score_intervals(fit, study.items, study.raters).matrix
    ratio = found.std(axis=0) / np.sqrt(np.diag(matrix))
    assert ((ratio > 0.7) & (ratio < 2)).all()


def test_ranks_are_single_where_scores_are_far_apart_and_open_where_they_are_not() -> None:
    rng = np.random.default_rng(0)
    far = Covariance(np.eye(3) * 1e-4, 50)
    scores = np.array([0.0, 1.0, -1.0])
    assert [(r.low, r.high) for r in rank_intervals(scores, far, rng)] == [(2, 2), (1, 1), (3, 3)]
    wide = Covariance(np.eye(3) * 4.0, 50)
    assert {(r.low, r.high) for r in rank_intervals(scores, wide, rng)} == {(1, 3)}


@pytest.mark.slow
def test_rank_intervals_hold_for_all_editors_at_once() -> None:
    """Ten equal editors: in at most 5% of studies any of them is put above another."""
    rng = np.random.default_rng(5)
    covariance = Covariance(np.eye(10), np.inf)
    wrong = sum(
        any(
            (r.low, r.high) != (1, 10) for r in rank_intervals(rng.normal(size=10), covariance, rng)
        )
        for _ in range(400)
    )
    assert 4 <= wrong <= 36  # 20 expected


def test_a_mean_of_two_raters_who_differ_has_a_wide_interval() -> None:
    items, raters = np.repeat(np.arange(20), 2), np.tile([0, 1], 20)
    mean, low, high = two_way_mean(np.where(raters == 0, 1.0, 5.0), items, raters)
    assert mean == 3
    assert low < 1
    assert high > 5


def test_one_rater_leaves_only_the_items() -> None:
    values = np.random.default_rng(0).normal(size=50)
    _, low, high = two_way_mean(values, np.arange(50), np.zeros(50, int))
    assert high - low == pytest.approx(2 * 2.0096 * values.std(ddof=1) / np.sqrt(50), rel=1e-3)
