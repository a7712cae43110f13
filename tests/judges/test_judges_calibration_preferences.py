"""Pairwise judges: accuracy and position bias."""

import numpy as np
import pytest

from calibration_judges import FirstPlace
from editloop.judges.calibration.pairs import TruthPairs
from editloop.judges.calibration.preferences import Comparing, comparisons, preference_results
from editloop.judges.pairwise import Preference
from editloop.schema import Unscored
from editloop.storage.shards import ShardStore


@pytest.fixture(scope="module")
def cases():
    return list(comparisons(TruthPairs(0, 8, sizes=(64,)), 8))


def told(cases, answer):
    known = [each for _, each in cases]
    found = [answer(case, each) for case, each in cases]
    return preference_results(known, found, 100, np.random.default_rng(0))


def test_the_better_edit_comes_first_as_often_as_second(cases) -> None:
    better = [known.better for _, known in cases]
    assert (better.count("first"), better.count("second"), better.count("tie")) == (12, 12, 8)


def test_equal_edits_are_equal_and_others_are_not(cases) -> None:
    for case, known in cases:
        assert np.array_equal(case.first, case.second) == (known.better == "tie")


def test_a_judge_swayed_by_the_first_place_is_found_out(cases) -> None:
    found = told(cases, lambda *_: Preference("tie", ("first", "second")))
    assert (found["first_place"], found["second_place"]) == (32, 0)
    assert found["place"]["mean"] == 1
    assert found["agreed"]["mean"] == 0
    assert found["right"]["following"]["mean"] == 0.5


def test_a_judge_that_knows_the_better_edit_is_always_right(cases) -> None:
    found = told(cases, lambda _, known: Preference(known.better, (known.better,) * 2))
    assert {each["mean"] for each in found["right"].values()} == {1}
    assert (found["place"]["mean"], found["agreed"]["mean"]) == (0, 1)


def test_what_is_not_answered_is_counted_with_its_reason(cases) -> None:
    found = told(
        cases,
        lambda _, known: (
            Unscored("refused") if known.family == "quality" else Preference("tie", ("tie", "tie"))
        ),
    )
    assert found["unscored"] == {"refused": 8}
    assert found["coverage"] == 0.75
    assert found["right"]["quality"] is None


def test_preferences_are_asked_for_once(cases, tmp_path) -> None:
    FirstPlace.asked = 0
    shown = [case for case, _ in cases]
    first = Comparing(FirstPlace(), ShardStore(tmp_path)).preferences(shown)
    second = Comparing(FirstPlace(), ShardStore(tmp_path)).preferences(shown)
    assert FirstPlace.asked == 32
    assert [each.orders for each in first] == [each.orders for each in second]
