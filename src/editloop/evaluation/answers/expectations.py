"""Claims stated before the results are seen, tested against the numbers, answered in sentences.

A claim orders editors, best first, in some metrics. It is "shown" where the paired 95% interval of
every neighbouring difference lies on the claimed side of 0, "opposite" where an interval lies on
the other side, and "not shown" otherwise. Every outcome is reported.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated

from pydantic import Field

from editloop.schema import Json
from editloop.settings import Settings
from editloop.showing.labels import amount, change, label, less_is_better, unit
from editloop.statistics.bootstrap import Resamples
from editloop.statistics.means import Numbers, Paired

__all__ = ["CLAIMS", "Claim", "find"]


class Claim(Settings):
    """The claim that editors, in this order from the best, differ in each of some metrics."""

    order: Annotated[tuple[str, ...], Field(min_length=2)]
    metrics: Annotated[tuple[str, ...], Field(min_length=1)]


# The expected results of the quickstart, fixed before its numbers were seen.
CLAIMS = (
    Claim(order=("plain", "copy"), metrics=("following_accuracy",)),
    Claim(
        order=("reward-5", "plain"),
        metrics=(
            "following_accuracy",
            "l1",
            "all_accuracy",
            "preserving_score_given_following",
            "quality_score_given_following",
        ),
    ),
    Claim(order=("reward-5", "reward-3", "reward-0"), metrics=("following_accuracy",)),
)


def find(claims: Sequence[Claim], numbers: Numbers, resamples: Resamples) -> list[dict[str, Json]]:
    """Test each claim about editors that ran; `sentence` gives the result in words."""
    asked = [
        (claim.order, metric)
        for claim in claims
        if set(claim.order) <= set(numbers.editors)
        for metric in claim.metrics
        if metric in numbers.metrics
    ]
    if not asked:
        return []
    paired = Paired(numbers, resamples)
    return [_answer(order, metric, paired) for order, metric in asked]


def _answer(order: Sequence[str], metric: str, paired: Paired) -> dict[str, Json]:
    steps = [
        {"better": better, "worse": worse, "found": paired.compare(better, worse, metric)}
        for better, worse in pairwise(order)
    ]
    outcome = _outcome(metric, [step["found"] for step in steps])
    return {
        "order": list(order),
        "metric": metric,
        "outcome": outcome,
        "steps": steps,
        "sentence": _sentence(metric, outcome, steps),
    }


def _outcome(metric: str, found: Sequence[Json]) -> str:
    if None in found:
        return "unavailable"
    sides = [_side(metric, step) for step in found]
    if all(side > 0 for side in sides):
        return "shown"
    return "opposite" if any(side < 0 for side in sides) else "not shown"


def _side(metric: str, step: Json) -> int:
    """Return 1 if the interval lies on the claimed side of 0, -1 if on the other, 0 if over 0."""
    low, high = float(step["low"]), float(step["high"])
    if less_is_better(metric):
        low, high = -high, -low
    return (low > 0) - (high < 0)


_HEADS = {
    "shown": "{claim} in {metric}",
    "not shown": "It is not shown that {claim} in {metric}",
    "opposite": "It was expected that {claim} in {metric}, and it came out otherwise",
    "unavailable": "Whether {claim} in {metric} cannot be said: one of them has no number there",
}


def _sentence(metric: str, outcome: str, steps: Sequence[Json]) -> str:
    first, *others = steps
    claim = f"{first['better']} is better than {first['worse']}"
    claim += "".join(f", and {step['better']} better than {step['worse']}," for step in others)
    head = _HEADS[outcome].format(claim=claim, metric=label(metric))
    if outcome == "unavailable":
        return f"{head}."
    details = "; ".join(_detail(metric, step) for step in steps)
    return f"{head}, over {first['found']['cases']} paired cases: {details}."


def _detail(metric: str, step: Json) -> str:
    found = step["found"]
    points = " points" if unit(metric) == "%" else ""
    low, high = change(metric, found["low"]), change(metric, found["high"])
    apart = "; their own intervals are apart" if found["apart"] else ""
    first, second = (
        amount(metric, found[key]) + (f" on {count} of them" if count < found["cases"] else "")
        for key, count in zip(("first", "second"), found["counts"], strict=True)
    )
    return (
        f"{step['better']} {first} against {step['worse']} {second}, a difference of "
        f"{change(metric, found['difference'])}{points} (95% interval {low} to {high}{apart})"
    )
