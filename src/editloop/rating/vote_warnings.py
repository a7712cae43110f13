"""Warnings about a ranking, in plain words."""

from __future__ import annotations

from collections.abc import Mapping

from editloop.rating.davidson import DavidsonFit
from editloop.schema import Json

__all__ = ["FEW_RATERS", "not_ranked", "vote_warnings"]

FEW_RATERS = 10
_FRAGILE = 0.02  # share of votes
_SURE = 2.0  # standard errors


def not_ranked(groups: list[list[int]], editors: list[str]) -> str:
    if not groups:
        return "All answers are 'both bad', so nothing can be ranked."
    sets = "; ".join(", ".join(editors[at] for at in group) for group in groups)
    return (
        "No votes connect these groups of editors, so they cannot be ranked together: "
        f"{sets}. Collect votes between the groups."
    )


def vote_warnings(
    fit: DavidsonFit, counts: Mapping[str, Json], robust: Mapping[str, Json], *, ordered: bool
) -> dict[str, str]:
    """Return warnings in plain words, by code."""
    few, raters = robust["few_votes"], counts["raters"]
    leaders = [each["rater"] for each in robust["leave_one_rater_out"] if each["leader_changes"]]
    circles = [each for each in robust["circular"] if each["weakest"] > _SURE]
    found = {
        "unbeaten": "Some editors won or lost all of their votes. A weak prior keeps their scores "
        "finite; only their rank is known, not by how much."
        if fit.prior
        else "",
        "few-raters": f"Only {raters} rater{'s' if raters > 1 else ''}: how raters differ is "
        "hardly known, so the intervals may be too narrow. Ask at least 10."
        if raters < FEW_RATERS
        else "",
        "order-unknown": ""
        if ordered
        else "The order shown is not recorded, so a preference for one side cannot be seen.",
        "one-order": "Each pair was always shown in one order, so a preference for one side "
        "cannot be told from a better editor."
        if ordered and fit.position is None
        else "",
        "rater-decides": f"Without rater {leaders[0]} another editor leads." if leaders else "",
        "few-votes": ""
        if few is None or few["share"] > _FRAGILE
        else f"Without {few['votes']} of {counts['votes']:,} votes {few['challenger']} would lead.",
        "circular": ""
        if not circles
        else f"Preferences run in a circle: {' > '.join(circles[0]['editors'])} > "
        f"{circles[0]['editors'][0]}. One score for each editor cannot show this.",
    }
    return {code: text for code, text in found.items() if text}
