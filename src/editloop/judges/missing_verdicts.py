"""Verdicts that a judge did not give, and those that may still come, which are never stored."""

from __future__ import annotations

from collections.abc import Iterable

from editloop.errors import StepError
from editloop.schema import Cause, Unscored, Verdict

__all__ = ["NO_VERDICT", "refuse_unfinished"]

NO_VERDICT = Unscored("the judge gave no verdict on this edit", cause=Cause.NO_ANSWER)


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
