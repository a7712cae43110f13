"""Rewards from fault records: a sample's score in each perspective."""

from __future__ import annotations

from collections.abc import Sequence

from editloop.darkroom.faults import Fault
from editloop.schema import CLEAN_TEXT, PERSPECTIVES, Score

__all__ = ["PASSING", "VERSION", "rewards", "value_of"]

VERSION = "darkroom-rewards-1"
PASSING = 3.0  # a score of at least this passes


def value_of(severity: float) -> float:
    """Return the score of a severity in (0, 1]: 5 * (1 - severity), rounded to halves, at most 4.5.

    Only samples without faults score 5, so the score separates clean from faulty.
    """
    return min(4.5, round(10 * (1 - severity)) / 2)


def rewards(faults: Sequence[Fault]) -> dict[str, Score]:
    """Return value (0-5), pass or fail, and text per perspective; 5, pass, "None" if clean."""
    scores = dict.fromkeys(PERSPECTIVES, Score(5.0, True, CLEAN_TEXT, VERSION))
    for fault in faults:
        value = value_of(fault.severity)
        scores[fault.family] = Score(value, value >= PASSING, fault.text, VERSION)
    return scores
