"""What a calibration would take: calls, tokens and cost, before anything is asked."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from editloop.chat.client import CostEstimate
from editloop.judges.calibration.asking import in_batches

__all__ = ["plan_of"]


def plan_of(asked: Iterable[tuple[Any, Iterable[Any]]]) -> CostEstimate:
    """The plans of judges and the cases that each is asked about, added up.

    A judge without a plan asks no server; a panel's own plan is that of its members.
    """
    plans = (
        judge.plan(batch)
        for judge, cases in asked
        if hasattr(judge, "plan")
        for batch in in_batches(cases)
    )
    return sum(plans, CostEstimate())
