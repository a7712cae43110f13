"""Tests of claims against numbers: shown, not shown, opposite, unavailable; always reported."""

import numpy as np
import pytest

from editloop.errors import RecipeError
from editloop.evaluation.answers.expectations import CLAIMS, Claim, find
from editloop.runtime.seeding import generator
from editloop.schema import Json
from editloop.settings import validate
from editloop.showing.labels import amount, change, label
from editloop.statistics.bootstrap import Resamples
from editloop.statistics.means import Numbers

CASES = 60


def numbers(metric: str, **means: float | None) -> Numbers:
    """Editors whose cases share their noise, so that paired differences are clear."""
    rng = generator("findings")
    noise, wobble = rng.normal(0, 0.3, CASES), rng.normal(0, 0.01, (len(means), CASES))
    levels = [np.nan if mean is None else mean for mean in means.values()]
    values = np.array(levels)[:, None] + noise + wobble
    return Numbers(tuple(means), (metric,), values[..., None], np.ones(values.shape, bool))


def answer(metric: str, *order: str, **means: float | None) -> Json:
    weights = Resamples([str(n) for n in range(CASES)], 300, generator("w"))
    (found,) = find([Claim(order=order, metrics=(metric,))], numbers(metric, **means), weights)
    return found


def test_a_difference_on_the_claimed_side_is_shown_with_its_interval() -> None:
    found = answer("following_accuracy", "a", "b", a=0.8, b=0.4)
    assert found["outcome"] == "shown"
    step = found["steps"][0]["found"]
    assert step["low"] < step["difference"] < step["high"]
    assert step["difference"] == pytest.approx(0.4, abs=0.02)
    assert found["sentence"].startswith(
        "a is better than b in following accuracy, over 60 paired cases: a 7"
    )
    assert "points (95% interval +" in found["sentence"]


def test_of_an_error_less_is_better() -> None:
    assert answer("l1", "a", "b", a=0.2, b=0.4)["outcome"] == "shown"
    assert answer("l1", "a", "b", a=0.4, b=0.2)["outcome"] == "opposite"


def test_an_interval_over_zero_shows_nothing() -> None:
    found = answer("quality_score", "a", "b", a=3.0, b=3.0)
    assert found["outcome"] == "not shown"
    assert found["sentence"].startswith("It is not shown that a is better than b in quality score,")


def test_the_opposite_is_said_as_plainly() -> None:
    found = answer("quality_score", "a", "b", a=2.0, b=3.0)
    assert found["outcome"] == "opposite"
    assert "came out otherwise" in found["sentence"]
    assert "−1.0" in found["sentence"]


@pytest.mark.parametrize(
    ("middle", "outcome"), [(3.0, "shown"), (4.0, "not shown"), (4.5, "opposite")]
)
def test_a_chain_is_shown_where_every_step_is(middle: float, outcome: str) -> None:
    found = answer("following_score", "five", "three", "none", five=4.0, three=middle, none=2.0)
    assert found["outcome"] == outcome
    assert len(found["steps"]) == 2
    assert "five is better than three, and three better than none" in found["sentence"]


def test_without_numbers_nothing_is_said_to_be_shown() -> None:
    found = answer("psnr", "a", "b", a=20.0, b=None)
    assert found["outcome"] == "unavailable"
    assert found["sentence"].endswith("cannot be said: one of them has no number there.")


def test_a_number_on_some_of_the_cases_says_on_how_many() -> None:
    few = numbers("quality_score_given_following", a=4.0, b=3.0)
    few.values[0, 10:] = np.nan
    weights = Resamples([str(n) for n in range(CASES)], 300, generator("w"))
    claim = Claim(order=("a", "b"), metrics=("quality_score_given_following",))
    (found,) = find([claim], few, weights)
    assert found["steps"][0]["found"]["counts"] == [10, 60]
    assert " on 10 of them against b " in found["sentence"]


def test_claims_about_editors_that_did_not_run_are_not_answered() -> None:
    weights = Resamples([str(n) for n in range(CASES)], 100, generator("w"))
    assert find(CLAIMS, numbers("l1", a=1.0, b=2.0), weights) == []


def test_a_claim_about_one_editor_is_refused() -> None:
    with pytest.raises(RecipeError, match="order"):
        validate(Claim, {"order": ["a"], "metrics": ["l1"]}, where="claims")


@pytest.mark.parametrize(
    ("metric", "words"),
    [
        ("l1_inside", "L1 inside the mask"),
        ("psnr", "PSNR"),
        ("following_accuracy", "following accuracy"),
        ("all_accuracy", "accuracy in all three together"),
        ("quality_score_given_following", "quality score where the edit was followed"),
    ],
)
def test_metrics_have_names_in_words(metric: str, words: str) -> None:
    assert label(metric) == words


@pytest.mark.parametrize(
    ("metric", "value", "shown", "difference"),
    [
        ("following_accuracy", 0.5, "50.0%", "+50.0"),
        ("following_score", 3.456, "3.46", "+3.46"),
        ("l1", 0.01234, "0.0123", "+0.0123"),
        ("l2_inside", 0.00012, "0.00012", "+0.00012"),
        ("psnr", 23.45, "23.45", "+23.45"),
    ],
)
def test_numbers_are_written_in_their_units(
    metric: str, value: float, shown: str, difference: str
) -> None:
    assert amount(metric, value) == shown
    assert change(metric, value) == difference
