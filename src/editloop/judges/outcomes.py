"""The perspective `outcome`: what a generator's picture turned out to be, as a number."""

from __future__ import annotations

from editloop.schema import EditOutcome, Score

__all__ = ["OUTCOME", "OUTCOMES", "outcome_of"]

OUTCOME = "outcome"  # the perspective of the rubric of this name
OUTCOMES = {0.0: EditOutcome.UNCHANGED, 1.0: EditOutcome.WRONG, 2.0: EditOutcome.EDITED}


def outcome_of(score: Score) -> EditOutcome | None:
    """Return the outcome that a score of this perspective stands for; None if it is none."""
    return OUTCOMES.get(score.value)
