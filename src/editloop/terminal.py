"""What commands print: plans, results, kinds and operations as tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table

from editloop.pipeline import Progress
from editloop.registry import kinds, load
from editloop.schema import Json

__all__ = ["build_progress", "print_kinds", "print_operations", "print_plan", "print_results"]

# What a summary shows of a benchmark; the rest is in results.json and in the report.
_SHOWN = {
    "following_accuracy": "following",
    "preserving_accuracy": "preserving",
    "quality_accuracy": "quality",
    "all_accuracy": "all three",
    "l1": "L1",
}


@contextmanager
def build_progress() -> Iterator[Callable[[Progress], None]]:
    """A bar for a build on a terminal (it shows nothing before the first commit)."""
    columns = (
        TextColumn("build"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("shards, {task.fields[samples]} samples"),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("build", total=None, samples=0, visible=False)

        def update(progress: Progress) -> None:
            bar.update(
                task,
                completed=progress.done,
                total=progress.total,
                samples=progress.samples,
                visible=progress.done < progress.total,
            )

        yield update


def print_plan(parts: Sequence[tuple[str, str, str]]) -> None:
    """A dry run's answer: part, state, and what it is made of."""
    _print_table("plan", ("part", "state", "what"), parts)


def print_results(results: Mapping[str, Json]) -> None:
    """A run's counts and its benchmarks, each number with its interval."""
    build = results.get("build", {})
    rows = [
        (split, *(str(counts.get(key, 0)) for key in ("in", "out", "dropped", "quarantined")))
        for split, counts in build.get("splits", {}).items()
    ]
    if rows:
        _print_table("data", ("split", "in", "out", "dropped", "quarantined"), rows)
    for benchmark, by_editor in results.get("evaluation", {}).items():
        _print_table(
            benchmark,
            ("editor", *_SHOWN.values()),
            [(name, *(_cell(scores, key) for key in _SHOWN)) for name, scores in by_editor.items()],
        )


def _cell(scores: Mapping[str, Json], key: str) -> str:
    score = scores.get(key)
    if score is None or score.get("mean") is None:
        return "-"
    mean, low, high = (score[name] for name in ("mean", "low", "high"))
    if key.endswith("_accuracy"):
        return f"{mean:.1%}\n{100 * low:.0f}-{100 * high:.0f}"
    return f"{mean:.3f}\n{low:.3f}-{high:.3f}"


def print_kinds(group: str) -> None:
    """The kinds of a group with their settings and defaults."""
    rows = []
    for kind in kinds(group):
        made = load(group, kind)
        settings = ", ".join(
            f"{name}" if field.is_required() else f"{name}={field.default}"
            for name, field in made.Settings.model_fields.items()
        )
        rows.append((kind, (made.__doc__ or "").strip().splitlines()[0], settings))
    _print_table(f"{group} kinds", ("kind", "what", "settings"), rows)


def print_operations(operations: Sequence[Any]) -> None:
    """The darkroom's operations by edit type."""
    rows = [(item.edit_type.value, item.name, item.example) for item in operations]
    _print_table(f"{len(rows)} operations", ("edit type", "operation", "for example"), rows)


def _print_table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table = Table(title=title, title_justify="left", header_style="bold", box=box.SIMPLE_HEAD)
    for head in heads:
        table.add_column(head, overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    Console().print(table)
