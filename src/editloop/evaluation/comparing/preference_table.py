"""What `editloop compare --judge` prints: whose pictures are preferred."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.markup import escape

from editloop.evaluation.comparing.preferring import Preferences
from editloop.evaluation.showing.narrow import NarrowColumn, interval, print_narrow
from editloop.schema import Json

__all__ = ["print_preferences"]


def print_preferences(found: Sequence[Preferences]) -> None:
    """Print a line for each two editors of each benchmark, and of whom nothing is known why."""
    for benchmark in dict.fromkeys(each.benchmark for each in found):
        own = [each for each in found if each.benchmark == benchmark]
        print_narrow(
            f"{benchmark}: preferred by {own[0].judge}, with 95% intervals",
            NarrowColumn("editors", [f"{each.first}\n- {each.second}" for each in own]),
            [
                NarrowColumn("first preferred", [_share(each.share) for each in own]),
                NarrowColumn("wins", [f"{each.wins[0]:,} - {each.wins[1]:,}" for each in own]),
                NarrowColumn("ties", [f"{each.ties:,}" for each in own]),
                NarrowColumn(
                    "by place", [f"{each.first_place:,} + {each.second_place:,}" for each in own]
                ),
            ],
        )
        for each in own:
            _print_missing(each, "unscored", each.unscored)
            _print_missing(each, "not asked", each.left_out)


def _share(share: Json) -> str:
    if share is None:
        return "-"
    mean, low, high = (f"{share[key]:.0%}" for key in ("mean", "low", "high"))
    return f"{mean}\n{interval(low, high)}"


def _print_missing(found: Preferences, what: str, reasons: Mapping[str, int]) -> None:
    for reason, count in reasons.items():
        told = f"  {found.first} - {found.second}: {count:,} {what}: {reason}"
        Console().print(escape(told), highlight=False)
