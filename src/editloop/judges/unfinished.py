"""Verdicts that may still come are never stored as missing."""

from __future__ import annotations

from collections.abc import Iterable

from editloop.errors import StepError
from editloop.schema import Unscored, Verdict

__all__ = ["refuse_unfinished"]


def refuse_unfinished(verdicts: Iterable[Verdict]) -> None:
    """Raise StepError if some verdicts failed only temporarily, so they are not stored as missing.

    The replies that the judge did get are kept in its ledger.
    """
    reasons = [
        score.reason
        for verdict in verdicts
        for score in verdict.values()
        if isinstance(score, Unscored) and score.cause.may_pass_later
    ]
    if reasons:
        raise StepError(
            "some verdicts are still missing",
            value=f"{len(reasons)} of this chunk, the first: {reasons[0]}",
            fix="run the same command again: replies already received are reused",
        )
