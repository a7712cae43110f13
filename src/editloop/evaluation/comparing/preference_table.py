"""Print the output of `editloop compare --judge`: whose pictures are preferred."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console

from editloop.evaluation.comparing.compare import Comparison
from editloop.evaluation.comparing.pairing import BenchmarkComparison
from editloop.evaluation.comparing.preferring import Preferences
from editloop.evaluation.comparing.table import marked, print_departures
from editloop.schema import Json
from editloop.showing.narrow import NarrowColumn, interval, print_narrow
from editloop.showing.terminal import escape

__all__ = ["print_preferences"]


def print_preferences(compared: Comparison, found: Sequence[Preferences]) -> None:
    """Print a row for each two editors of each benchmark, and why cases have no answer."""
    for benchmark in compared.benchmarks:
        own = [each for each in found if each.benchmark == benchmark.name]
        if own:
            _print_benchmark(benchmark, own)


def _print_benchmark(benchmark: BenchmarkComparison, found: Sequence[Preferences]) -> None:
    pairs = [(marked(benchmark, each.first), marked(benchmark, each.second)) for each in found]
    places = [f"{each.first_place:,} + {each.second_place:,}" for each in found]
    print_narrow(
        f"{benchmark.name}: preferred by {found[0].judge}, with 95% intervals",
        NarrowColumn("editors", [f"{first}\n- {second}" for first, second in pairs]),
        [
            NarrowColumn("first preferred", [_share(each.share) for each in found]),
            NarrowColumn("wins", [f"{each.wins[0]:,} - {each.wins[1]:,}" for each in found]),
            NarrowColumn("ties", [f"{each.ties:,}" for each in found]),
            NarrowColumn("by place", places),
        ],
    )
    print_departures(benchmark)
    for each in found:
        _print_missing(each, "unscored", each.unscored)
        _print_missing(each, "not asked", each.left_out)


def _share(share: Json) -> str:
    if share is None:
        return "-"
    mean, low, high = (f"{share[key]:.0%}" for key in ("mean", "low", "high"))
    return f"{mean}\n{interval(low, high)}"


def _print_missing(found: Preferences, what: str, reasons: Mapping[str, int]) -> None:
    for reason, count in reasons.items():
        line = f"  {found.first} - {found.second}: {count:,} {what}: {reason}"
        Console().print(escape(line), highlight=False)
