"""Convert a judge's scores to numbers: pass or fail, and several scores combined."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from editloop.schema import Cause, Score, Unscored

__all__ = ["combined", "passed"]


def passed(score: Score | Unscored) -> Score | Unscored:
    """Return 1 or 0 for the pass or fail that a judge gave with its score."""
    if isinstance(score, Unscored):
        return score
    if score.passed is None:
        return Unscored("the judge gave a score but no yes or no", score.version, Cause.NO_ANSWER)
    return Score(float(score.passed), version=score.version)


def combined(
    found: Sequence[Score | Unscored], how: Callable[[Sequence[float]], float]
) -> Score | Unscored:
    """Combine several numbers with `how`; if any is unscored, return the first such one."""
    missing = [each for each in found if isinstance(each, Unscored)]
    if missing:
        return missing[0]
    return Score(how([each.value for each in found if isinstance(each, Score)]))
