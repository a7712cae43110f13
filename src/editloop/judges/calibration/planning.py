"""What a calibration would take: calls, tokens and cost, before anything is asked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from editloop.chat import Plan
from editloop.judges.calibration.asking import in_batches

__all__ = ["plan_of"]


def plan_of(asked: Iterable[tuple[Any, Iterable[Any]]]) -> Plan:
    """The plans of judges and the cases that each is asked about, added up.

    A judge without a plan asks no server; a panel's is that of its members.
    """
    plans = [
        plan
        for judge, cases in asked
        for batch in in_batches(cases)
        for plan in _plans(judge, batch)
    ]
    return Plan(
        found=sum(plan.found for plan in plans),
        calls=sum(plan.calls for plan in plans),
        input_tokens=sum(plan.input_tokens for plan in plans),
        output_tokens=sum(plan.output_tokens for plan in plans),
        cost=sum(plan.cost for plan in plans),
    )


def _plans(judge: Any, batch: Sequence[Any]) -> Iterator[Plan]:
    if hasattr(judge, "plan"):
        yield judge.plan(batch)
    for member in getattr(judge, "members", ()):
        yield from _plans(member, batch)
