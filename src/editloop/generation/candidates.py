"""Candidates of one source and instruction: their number, and how one is rejected or chosen."""

from __future__ import annotations

from editloop.schema import Attempt, EditOutcome, EditSample

__all__ = ["attempt", "group_of", "number_of"]


def number_of(sample: EditSample) -> int:
    """Return the number of a candidate among those of its parent, counted from 1."""
    made = sample.provenance
    return int(made.parameters.get("attempt", 1)) if made is not None else 1


def attempt(
    sample: EditSample,
    outcome: EditOutcome = EditOutcome.EDITED,
    reason: str | None = None,
    *,
    chosen: bool = False,
) -> Attempt:
    """Return a candidate as an attempt, with its own number and cost."""
    made = sample.provenance
    cost = None if made is None else made.parameters.get("cost")
    return Attempt(sample, outcome, number_of(sample), chosen, cost, reason)


def group_of(sample: EditSample) -> str:
    """Return the name that candidates of one parent and one instruction share."""
    return f"{sample.parent_id or sample.id}\n{sample.instruction}"
