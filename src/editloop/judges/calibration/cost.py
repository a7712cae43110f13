"""The cost estimate of a calibration: calls and tokens, before anything is asked."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from editloop.chat.client import CostEstimate
from editloop.judges.calibration.asking import in_batches

__all__ = ["estimate_of"]


def estimate_of(asked: Iterable[tuple[Any, Iterable[Any]]]) -> CostEstimate:
    """Return the sum of the cost estimates of judges, each with its cases.

    A judge without an `estimate` method asks no server; a panel adds up its members'.
    """
    estimates = (
        judge.estimate(batch)
        for judge, cases in asked
        if hasattr(judge, "estimate")
        for batch in in_batches(cases)
    )
    return sum(estimates, CostEstimate())
