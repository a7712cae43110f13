"""Repeatability, and drift since earlier scores."""

import numpy as np
import pytest

from calibration_judges import facts, judged, score
from editloop.judges.calibration.stability import drift, repeatability
from editloop.schema import Unscored

CASES = [facts(f"e{at}") for at in range(20)]
EDITS = [case.edit for case in CASES]


def said(values, perspective="following"):
    verdicts = [
        {perspective: Unscored("refused") if value is None else score(value)} for value in values
    ]
    return judged(CASES, verdicts, perspective)


def rng():
    return np.random.default_rng(0)


def test_a_judge_that_repeats_itself_has_no_spread() -> None:
    found = repeatability([said([4.0] * 20)] * 3, EDITS, 100, rng())["following"]
    assert (found["spread"]["mean"], found["same"]["mean"], found["flips"]["mean"]) == (0, 1, 0)
    assert found["range"] == 0


def test_the_spread_is_the_mean_deviation_of_a_pairs_scores() -> None:
    rounds = [said([4.0] * 20), said([5.0] * 10 + [4.0] * 10), said([3.0] * 10 + [4.0] * 10)]
    found = repeatability(rounds, EDITS, 100, rng())["following"]
    assert found["spread"]["mean"] == pytest.approx(np.std([80, 100, 60], ddof=1) / 2)
    assert found["same"]["mean"] == 0.5
    assert found["range"] == pytest.approx(20)  # means of 80, 90 and 70


def test_a_pair_judged_yes_and_no_is_a_flip() -> None:
    rounds = [said([3.0] * 20), said([2.5] * 5 + [3.0] * 15)]
    assert repeatability(rounds, EDITS, 100, rng())["following"]["flips"]["mean"] == 0.25


def test_a_pair_without_a_score_in_some_round_is_left_out_and_counted() -> None:
    rounds = [said([4.0] * 20), said([None] * 4 + [4.0] * 16)]
    found = repeatability(rounds, EDITS, 100, rng())["following"]
    assert found["left_out"] == 4
    assert found["same"]["count"] == 16


def test_a_judge_that_became_milder_has_moved() -> None:
    then = said([2.0, 3.0, 4.0, 1.0] * 5)
    found = drift(then, said([2.5, 3.5, 4.0, 1.5] * 5), EDITS, 200, rng())["following"]
    assert found["change"]["mean"] == pytest.approx(7.5)
    assert found["moved"]
    assert found["same"]["mean"] == 0.25


def test_noise_alone_is_no_move() -> None:
    found = drift(said([2.0] * 20), said([1.5, 2.5] * 10), EDITS, 200, rng())["following"]
    assert not found["moved"]
    assert found["away"]["mean"] == pytest.approx(10)


def test_only_perspectives_that_both_have_are_compared() -> None:
    assert drift(said([2.0] * 20), said([2.0] * 20, "quality"), EDITS, 100, rng()) == {}
