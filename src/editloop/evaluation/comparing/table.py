"""Print the output of `editloop compare`: every editor's means, and the paired differences."""

from __future__ import annotations

from rich.console import Console

from editloop.evaluation.comparing.compare import Comparison
from editloop.evaluation.comparing.pairing import BenchmarkComparison, Difference
from editloop.schema import Json
from editloop.showing.labels import amount, change, label
from editloop.showing.narrow import NarrowColumn, interval, print_narrow
from editloop.showing.tables import by_metric
from editloop.showing.terminal import escape

__all__ = ["marked", "print_comparison", "print_departures"]

_MOST_PAIRS = 10
_NOISE = "≈"
_DEPARTS = "*"


def print_comparison(comparison: Comparison) -> None:
    """Print the main metrics of each benchmark: means, then differences."""
    for benchmark in comparison.benchmarks:
        _print_scores(benchmark)
        if benchmark.differences:
            _print_differences(benchmark)


def marked(benchmark: BenchmarkComparison, name: str) -> str:
    """Return an editor's name, with a mark if its settings are unlike the card's."""
    return f"{name} {_DEPARTS}" if name in benchmark.departures else name


def print_departures(benchmark: BenchmarkComparison) -> None:
    """Print the meaning of the marks."""
    for name, text in benchmark.departures.items():
        _print(f"{_DEPARTS} {name} {text}")


def _print_scores(benchmark: BenchmarkComparison) -> None:
    names = [editor.name for editor in benchmark.editors]
    entries = {
        metric: [benchmark.scores[name].get(metric) for name in names] for metric in benchmark.main
    }
    title = f"{benchmark.name}: {benchmark.cases:,} cases, means with 95% intervals"
    print_narrow(
        title,
        NarrowColumn("editor", [marked(benchmark, name) for name in names]),
        [
            NarrowColumn(label(metric), [_mean(metric, entry) for entry in found])
            for metric, found in entries.items()
        ],
    )
    print_departures(benchmark)
    for each in by_metric(benchmark.scores, names, benchmark.main).absences:
        command = f"; run `{each.command}`" if each.command else ""
        _print(f"- {each.what}: {each.reason}{command}")
    if benchmark.absent:
        _print(f"not in {', '.join(benchmark.absent)}")


def _print_differences(benchmark: BenchmarkComparison) -> None:
    found = {(each.first, each.second, each.metric): each for each in benchmark.differences}
    pairs = list(dict.fromkeys((first, second) for first, second, _ in found))
    shown = (
        pairs if len(pairs) <= _MOST_PAIRS else [each for each in pairs if each[0] == pairs[0][0]]
    )
    print_narrow(
        f"{benchmark.name}: differences over the {benchmark.common:,} cases that all answered",
        NarrowColumn(
            "editors",
            [
                f"{marked(benchmark, first)}\n− {marked(benchmark, second)}"
                for first, second in shown
            ],
        ),
        [
            NarrowColumn(label(metric), [_difference(found.get((*pair, metric))) for pair in shown])
            for metric in benchmark.paired_metrics(benchmark.main)
        ],
    )
    _print(f"{_NOISE} within noise: the interval of the difference contains 0")
    if len(shown) < len(pairs):
        _print(f"differences of {pairs[0][0]}; `--out DIR` writes those of all {len(pairs)} pairs")


def _print(text: str) -> None:
    Console().print(f"  {escape(text)}", highlight=False)


def _mean(metric: str, entry: Json) -> str:
    if not entry or entry["mean"] is None:
        return "-"
    mean, low, high = (amount(metric, entry[key]) for key in ("mean", "low", "high"))
    shown = f"{mean}\n{interval(low, high)}"
    return shown if entry["coverage"] == 1 else f"{shown}\nof {entry['count']:,}"


def _difference(found: Difference | None) -> str:
    if found is None:
        return "-"
    mark = f"{_NOISE} " if found.within_noise else ""
    low, high = change(found.metric, found.low), change(found.metric, found.high)
    return f"{mark}{change(found.metric, found.difference)}\n{low} {high}"
