"""End a command with exit code 1, and the reasons, if it scored, judged or compared nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import typer

from editloop.schema import Json
from editloop.showing.terminal import say

if TYPE_CHECKING:
    from editloop.evaluation.comparing.compare import Comparison
    from editloop.evaluation.comparing.preferring import Preferences

__all__ = [
    "fail_unanswered",
    "fail_uncalibrated",
    "fail_uncompared",
    "fail_unmeasured",
    "fail_unscored",
]

_REASONS = 3  # the first reasons that are named


def fail_unscored(results: Mapping[str, Json]) -> None:
    """End the command if a run has a benchmark, or a judge, without any score."""
    for by_split in results.get("rewards", {}).values():
        means = [each for found in by_split.values() for each in found["means"].values()]
        _check_estimates("the data", means)
    for name, by_editor in results.get("evaluation", {}).items():
        scores = [(metric, each) for found in by_editor.values() for metric, each in found.items()]
        _check_estimates(name, [each for _, each in scores])
        facts = results.get("benchmarks", {}).get(name, {})
        if (facts.get("made_from", {}).get("judge") or {}).get("judge") is not None:
            metrics = facts["metrics"]["versions"]
            judged = [each for metric, each in scores if metric not in metrics]
            _check_estimates(f"the judge of {name}", judged)


def fail_unmeasured(results: Mapping[str, Json]) -> None:
    """End the command if `measure` has no number at all, or none of its judge."""
    quality = results["quality"]
    _check_estimates(results["data"], list(quality.values()))
    judged = [quality[each["name"]] for each in results["metrics"] if each["kind"] == "judge"]
    if judged:
        _check_estimates("the judge", judged)


def fail_uncompared(found: Comparison) -> None:
    """End the command if none of the compared runs has a number."""
    by_editor = [scores for each in found.benchmarks for scores in each.scores.values()]
    _check_estimates("these runs", [each for scores in by_editor for each in scores.values()])


def fail_unanswered(found: Sequence[Preferences]) -> None:
    """End the command if a pairwise judge has preferred nothing, also for lack of cases."""
    reasons = [reason for each in found for reason in (*each.unscored, *each.left_out)]
    _check("the judge", any(each.share is not None for each in found), reasons)


def fail_uncalibrated(results: Mapping[str, Json]) -> None:
    """End the command if the judge that was calibrated has answered nothing."""
    pairwise = "reason" in results["truth"]
    parts = [results["preferences"]] if pairwise else results["truth"]["perspectives"].values()
    reasons = [reason for each in parts for reason in each["unscored"]]
    _check("the judge", any(each["coverage"] for each in parts), reasons)


def _check_estimates(what: str, estimates: Sequence[Json]) -> None:
    reasons = [
        f"{each['reason']}; run `{each['command']}`" if each.get("command") else each["reason"]
        for each in estimates
        if each["mean"] is None
    ]
    _check(what, len(reasons) < len(estimates), reasons)


def _check(what: str, scored: bool, reasons: Iterable[str]) -> None:
    if scored:
        return
    named = list(dict.fromkeys(reasons))[:_REASONS] or ["there is nothing to score"]
    say(f"error: {what}: nothing was scored: {'; '.join(named)}", err=True)
    raise typer.Exit(1)
