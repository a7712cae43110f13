"""Write a comparison as files: `compare.json` and the page `compare.html`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from editloop.evaluation.comparing.compare import Comparison
from editloop.evaluation.comparing.gaps import Gap, Gaps
from editloop.evaluation.comparing.pairing import BenchmarkComparison, Difference
from editloop.evaluation.comparing.preference_view import Preferred, preferred
from editloop.evaluation.comparing.preferring import Preferences
from editloop.schema import readable_json
from editloop.showing.figures import PALETTE
from editloop.showing.labels import change, less_is_better
from editloop.showing.pages import write_page
from editloop.showing.tables import Table, by_metric
from editloop.storage.files import Files, explained, replace_file

__all__ = ["write_comparison"]

_JSON, _PAGE = "compare.json", "compare.html"


@dataclass(frozen=True, slots=True)
class _View:
    """One benchmark's part of the page; `everything` is set only where `table` omits metrics.

    `departures` describes, by editor, settings that differ from the card's; `preferred` holds a
    judge's preferences, if there are any.
    """

    name: str
    cases: int
    common: int
    absent: Sequence[str]
    fingerprint: str
    protocol: Mapping[str, object] | None
    colours: Mapping[str, str]
    departures: Mapping[str, str]
    table: Table
    gaps: Gaps | None
    everything: Table | None
    every_gap: Gaps | None
    preferred: Preferred | None


def write_comparison(
    comparison: Comparison, out: Path, preferences: Sequence[Preferences] = ()
) -> Path:
    """Write both files into the folder `out` and return the page's path.

    The page also shows `preferences` between the compared editors.
    """
    content = readable_json(comparison.to_json())
    with explained("write a comparison", out / _JSON):
        replace_file(Files(), out / _JSON, content)
    views = [_view(each, preferences) for each in comparison.benchmarks]
    write_page(
        out / _PAGE,
        _PAGE,
        kind="comparison",
        title=", ".join(comparison.runs),
        tiles={
            "runs": len(comparison.runs),
            "benchmarks": len(views),
            "editors": len({name for view in views for name in view.colours}),
        },
        benchmarks=views,
        runs={name: path.as_posix() for name, path in comparison.runs.items()},
        seed=comparison.seed,
        resamples=comparison.resamples,
    )
    return out / _PAGE


def _view(benchmark: BenchmarkComparison, preferences: Sequence[Preferences]) -> _View:
    names = [editor.name for editor in benchmark.editors]
    more = benchmark.metrics if len(benchmark.main) < len(benchmark.metrics) else ()
    return _View(
        name=benchmark.name,
        cases=benchmark.cases,
        common=benchmark.common,
        absent=benchmark.absent,
        fingerprint=benchmark.fingerprint,
        protocol=benchmark.protocol,
        colours={name: PALETTE[at % len(PALETTE)] for at, name in enumerate(names)},
        departures=benchmark.departures,
        table=_table(benchmark, benchmark.main),
        gaps=_gaps(benchmark, benchmark.main),
        everything=_table(benchmark, more) if more else None,
        every_gap=_gaps(benchmark, more) if more else None,
        preferred=preferred([each for each in preferences if each.benchmark == benchmark.name]),
    )


def _table(benchmark: BenchmarkComparison, metrics: Sequence[str]) -> Table:
    names = [editor.name for editor in benchmark.editors]
    table = by_metric(benchmark.scores, names, metrics, benchmark.measured)
    return replace(table, notes=benchmark.departures)


def _gaps(benchmark: BenchmarkComparison, metrics: Sequence[str]) -> Gaps | None:
    found = {(each.first, each.second, each.metric): each for each in benchmark.differences}
    paired = benchmark.paired_metrics(metrics)
    if not paired:
        return None
    scales = {
        metric: max(
            (
                max(abs(each.low), abs(each.high))
                for each in found.values()
                if each.metric == metric
            ),
            default=0.0,
        )
        for metric in paired
    }
    pairs = dict.fromkeys((first, second) for first, second, _ in found)
    return Gaps(
        columns=by_metric({}, [], paired, benchmark.measured).columns,
        rows=[
            (
                *pair,
                [
                    _gap(found.get((*pair, metric)), scale, benchmark)
                    for metric, scale in scales.items()
                ],
            )
            for pair in pairs
        ],
    )


def _gap(found: Difference | None, scale: float, benchmark: BenchmarkComparison) -> Gap:
    if found is None:
        return Gap("–")
    low, at, high = (
        round(50 + 50 * value / (scale or 1.0), 1)
        for value in (found.low, found.difference, found.high)
    )
    return Gap(
        text=change(found.metric, found.difference),
        outcome=_outcome(found, benchmark.measured),
        interval=f"{change(found.metric, found.low)} to {change(found.metric, found.high)}",
        left=low,
        right=high,
        at=at,
        counts=" and ".join(f"{count:,}" for count in found.counts) + " cases",
        whole=found.counts == (benchmark.common, benchmark.common),
    )


def _outcome(found: Difference, measured: Mapping[str, str]) -> str:
    if found.within_noise:
        return "noise"
    is_less = found.difference < 0
    better = is_less == less_is_better(found.metric, measured.get(found.metric))
    return "better" if better else "worse"
