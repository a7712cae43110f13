"""Rewards: scores from fault records in each perspective."""

from __future__ import annotations

import pytest

from editloop.darkroom.faults import KINDS, Fault
from editloop.darkroom.rewards import PASSING, rewards, value_of
from editloop.schema import PERSPECTIVES


def test_clean_samples_have_full_scores() -> None:
    scores = rewards(())
    assert list(scores) == list(PERSPECTIVES)
    for score in scores.values():
        assert (score.value, score.passed, score.text) == (5.0, True, "None")


def test_a_fault_costs_its_own_perspective_only() -> None:
    fault = Fault("preserving", "shift", 0.6, "the whole picture moved")
    scores = rewards([fault])
    assert (scores["preserving"].value, scores["preserving"].passed) == (2.0, False)
    assert scores["preserving"].text == "the whole picture moved"
    assert scores["following"].value == scores["quality"].value == 5.0


def test_nothing_scores_zero() -> None:
    assert rewards([Fault("following", "nothing", 1.0, "")])["following"].value == 0


@pytest.mark.parametrize("severity", [0.01, 0.2, 0.5, 0.77, 1.0])
def test_scores_are_halves_between_zero_and_below_five(severity: float) -> None:
    value = value_of(severity)
    assert value * 2 == int(value * 2)
    assert 0 <= value <= 4.5


def test_scores_fall_with_severity() -> None:
    values = [value_of(step / 100) for step in range(1, 101)]
    assert values == sorted(values, reverse=True)
    assert (values[0], values[-1]) == (4.5, 0.0)


def test_every_kind_at_its_usual_severity_fails() -> None:
    for kind in KINDS.values():
        assert value_of(kind.typical) < PASSING
