"""Comparison of verdicts with the records."""

import numpy as np
import pytest

from calibration_judges import facts, judged, score
from editloop.darkroom.faults import Fault
from editloop.darkroom.rewards import rewards
from editloop.judges.calibration.against_truth import against_truth, disagreements
from editloop.schema import PERSPECTIVES, Score, Unscored

FAULTS = [
    Fault("following", "nothing", 1.0, "nothing"),
    Fault("preserving", "blur", 0.2, "a little blur"),
    Fault("preserving", "blur", 1.0, "blur"),
    Fault("quality", "noise", 0.6, "noise"),
]
CASES = [facts(f"e{at}", *some) for at in range(12) for some in [(), *((f,) for f in FAULTS)]]


def told(verdict, *perspectives):
    found = judged(CASES, [verdict(case) for case in CASES], *perspectives)
    return against_truth(found, 100, np.random.default_rng(0))


def perfect(case):
    return rewards(case.faults)


def test_a_perfect_judge_is_right_everywhere() -> None:
    found = told(perfect)
    for name in PERSPECTIVES:
        each = found["perspectives"][name]
        assert each["accuracy"]["mean"] == each["pearson"]["mean"] == each["kendall"]["mean"] == 1
        assert each["bias"]["mean"] == 0
        assert each["coverage"] == 1
        assert found["confusion"][name] == {
            other: pytest.approx(found["confusion"][name][other]) for other in PERSPECTIVES
        }
        assert [other for other in PERSPECTIVES if found["confusion"][name][other]["mean"]] == [
            name
        ]


def test_a_judge_that_always_says_yes_is_as_right_as_guessing_and_correlates_with_nothing() -> None:
    found = told(lambda _: dict.fromkeys(PERSPECTIVES, score(5.0)))["perspectives"]["preserving"]
    assert found["accuracy"]["mean"] == found["always_yes"] == pytest.approx(0.8)
    assert found["good_passed"]["mean"] == 1
    assert found["bad_failed"]["mean"] == 0
    assert found["pearson"] is None


def test_a_judge_that_mixes_up_two_perspectives_is_seen_in_the_confusion() -> None:
    def mixed_up(case):
        scores = perfect(case)
        return {**scores, "quality": scores["preserving"], "preserving": scores["quality"]}

    found = told(mixed_up)["confusion"]
    assert found["preserving"]["quality"]["mean"] == pytest.approx(60)  # 20 and 100, half each
    assert found["preserving"]["preserving"]["mean"] == 0


def test_the_sensitivity_says_what_a_fault_cost_of_what_it_should() -> None:
    def blind_to_a_little(case):
        return {
            name: Score(5.0 if s.value >= 4 else s.value, s.passed)
            for name, s in perfect(case).items()
        }

    kind = told(blind_to_a_little)["sensitivity"]["preserving"]["blur"]
    assert kind["told_apart"]["mean"] == pytest.approx(0.75)  # of slight blur: a tie
    slight, strong = kind["severities"]
    assert (slight["severity"], slight["recorded_drop"], slight["drop"]["mean"]) == (0.2, 20, 0)
    assert (strong["recorded_drop"], strong["drop"]["mean"]) == (100, 100)


def test_a_perspective_has_the_faults_that_it_should_notice() -> None:
    found = told(perfect)["sensitivity"]
    assert {name: list(kinds) for name, kinds in found.items()} == {
        "following": ["nothing"],
        "preserving": ["blur"],
        "quality": ["noise"],
    }


def test_what_is_not_scored_is_counted_with_its_reason_and_never_a_zero() -> None:
    def silent_on_faults(case):
        return (
            dict.fromkeys(PERSPECTIVES, Unscored("refused: no")) if case.faults else perfect(case)
        )

    found = told(silent_on_faults)["perspectives"]["quality"]
    assert found["coverage"] == pytest.approx(1 / 5)
    assert found["unscored"] == {"refused: no": 48}
    assert found["accuracy"] == {**found["accuracy"], "mean": 1, "count": 12}


def test_a_score_out_of_range_is_no_score() -> None:
    found = told(lambda _: dict.fromkeys(PERSPECTIVES, Score(7.0, True)))["perspectives"]["quality"]
    assert (found["coverage"], found["accuracy"]) == (0, None)
    assert found["unscored"] == {"out of range: 7 is not in 0..5": 60}


def test_a_judge_without_yes_and_no_has_no_accuracy() -> None:
    def aligned(case):
        return {"alignment": Score(case.points("alignment"))}

    found = told(aligned, "alignment")["perspectives"]["alignment"]
    assert found["accuracy"] is None
    assert found["always_yes"] is None
    assert found["pearson"]["mean"] == 1


def test_the_largest_disagreements_come_first_one_of_each_edit() -> None:
    def blind(case):
        return {**perfect(case), "preserving": score(5.0)}

    found = disagreements(judged(CASES, [blind(case) for case in CASES]), 2)
    assert [(each.perspective, each.recorded, each.judged) for each in found] == [
        ("preserving", 0, 100),
        ("preserving", 0, 100),
    ]
    assert len({CASES[each.at].edit for each in found}) == 2
