"""Tables of pages: cells with their interval drawn to scale, ready for the template."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from editloop.schema import Json
from editloop.showing.labels import amount, label, less_is_better

__all__ = ["Absence", "Cell", "Column", "Table", "by_metric", "by_slice", "main_metrics"]

# The first table of the benchmark `darkroom`; the table of all metrics has the others.
_MAIN = (
    "following_accuracy",
    "preserving_accuracy",
    "quality_accuracy",
    "all_accuracy",
    "preserving_accuracy_given_following",
    "quality_accuracy_given_following",
    "l1",
    "ssim",
)
_MOST = 10  # metrics in the first table of other benchmarks

_Scale = tuple[float, float]  # values at the left and the right end of a bar


@dataclass(frozen=True, slots=True)
class Cell:
    """A number with its interval; `left`, `right`, `at` are in per cent of the column's scale."""

    text: str
    interval: str = ""
    left: float = 0.0
    right: float = 0.0
    at: float = 0.0
    count: int = 0
    coverage: float = 1.0
    best: bool = False
    reason: str | None = None
    command: str | None = None

    @property
    def whole(self) -> bool:
        """Return whether all cases have the number."""
        return self.coverage == 1

    @property
    def share(self) -> str:
        """The share of cases with the number; a part of them is never shown as 0% or 100%."""
        return f"{min(99, max(1, round(100 * self.coverage)))}%"


@dataclass(frozen=True, slots=True)
class Column:
    """A column's heading, the better direction, and a note."""

    name: str
    better: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Absence:
    """The reason for empty cells: `what` names their columns and rows, `command` is the fix."""

    what: str
    reason: str
    command: str | None


@dataclass(frozen=True, slots=True)
class Table:
    """Columns, and rows of a name (an editor or a metric) with its cells; `notes` are by row."""

    columns: Sequence[Column]
    rows: Sequence[tuple[str, Sequence[Cell]]]
    notes: Mapping[str, str] = field(default_factory=dict)

    @property
    def absences(self) -> list[Absence]:
        """The reasons for empty cells, each once."""
        places: dict[tuple[str, str | None], list[tuple[str, str]]] = {}
        for name, cells in self.rows:
            for column, cell in zip(self.columns, cells, strict=True):
                if cell.reason:
                    key = (cell.reason, cell.command)
                    places.setdefault(key, []).append((name, column.name))
        return [
            Absence(self._what(set(found)), reason, command)
            for (reason, command), found in places.items()
        ]

    def _what(self, places: set[tuple[str, str]]) -> str:
        """Name the empty cells: whole rows first, then columns, with their rows if only some."""
        names = [name for name, _ in self.rows]
        columns = [column.name for column in self.columns]
        if len(places) == len(names) * len(columns) and len(names) > 1:
            return "everything"
        rows = [name for name in names if all((name, each) in places for each in columns)]
        rest = [name for name in names if name not in rows]
        alike: dict[tuple[str, ...], list[str]] = {}
        for each in columns:
            own = tuple(name for name in rest if (name, each) in places)
            alike.setdefault(own, []).append(each)
        parts = [
            ", ".join(found) + ("" if len(own) == len(rest) else f" of {', '.join(own)}")
            for own, found in alike.items()
            if own
        ]
        return "; ".join([*rows, *parts])


def main_metrics(metrics: Sequence[str]) -> list[str]:
    """Return the measured metrics of the first table."""
    if "all_accuracy" in metrics:
        return [metric for metric in _MAIN if metric in metrics]
    return list(metrics[:_MOST])


def by_metric(
    scores: Mapping[str, Json],
    editors: Sequence[str],
    metrics: Sequence[str],
    measured: Mapping[str, str] | None = None,
) -> Table:
    """Return a table with editors as rows and metrics as columns.

    `measured` maps a card's own names to metrics; if given, the best of each column is marked.
    """
    columns = []
    for metric in metrics:
        entries = [scores[editor].get(metric) for editor in editors]
        columns.append(_column(metric, entries, measured))
    rows = [(editor, [column[at] for column in columns]) for at, editor in enumerate(editors)]
    heads = [Column(label(metric), _better(metric, measured)) for metric in metrics]
    return Table(heads, rows)


def by_slice(
    slices: Mapping[str, Json],
    editors: Sequence[str],
    axis: str,
    metric: str,
    measured: Mapping[str, str] | None = None,
) -> Table:
    """Return one metric's table: editors as rows, the axis's values (types, photos) as columns."""
    sliced = [editor for editor in editors if slices.get(editor, {}).get(axis)]
    values = sorted({value for editor in sliced for value in slices[editor][axis]}, key=_natural)
    found = {
        value: [slices[editor][axis].get(value, {}).get(metric) for editor in sliced]
        for value in values
    }
    scale = _scale(metric, [entry for entries in found.values() for entry in entries])
    columns = [_column(metric, found[value], measured, scale) for value in values]
    rows = [(editor, [column[at] for column in columns]) for at, editor in enumerate(sliced)]
    return Table([Column(value, note=_cases(found[value])) for value in values], rows)


def _natural(value: str) -> tuple[int, str]:
    """Return a sort key: numbers by size, before words."""
    return (int(value), "") if value.isdecimal() else (10**9, value)


def _better(metric: str, measured: Mapping[str, str] | None) -> str:
    own = (measured or {}).get(metric)
    return "less is better" if less_is_better(metric, own) else "more is better"


def _cases(entries: Iterable[Json]) -> str:
    """Return the number of cases of a slice in words, computed from its counts and coverage."""
    counts = [round(each["count"] / each["coverage"]) for each in entries if _has(each)]
    return f"{counts[0]:,} case{'s' if counts[0] != 1 else ''}" if counts else ""


def _column(
    metric: str,
    entries: Sequence[Json],
    measured: Mapping[str, str] | None,
    scale: _Scale | None = None,
) -> list[Cell]:
    """Return the cells of one metric, with the best one marked if they differ."""
    drawn = scale or _scale(metric, entries)
    cells = [_cell(metric, entry, drawn) for entry in entries]
    if measured is None:
        return cells
    # Means over fewer cases are not comparable: these cases may be easier.
    most = max((each["count"] for each in entries if _has(each)), default=0)
    means = {
        at: each["mean"] for at, each in enumerate(entries) if _has(each) and each["count"] == most
    }
    if len(set(means.values())) > 1:
        pick = min if less_is_better(metric, measured.get(metric)) else max
        best = pick(means.values())
        for at in (at for at, mean in means.items() if mean == best):
            cells[at] = replace(cells[at], best=True)
    return cells


def _has(entry: Json) -> bool:
    return bool(entry) and entry["mean"] is not None


def _scale(metric: str, entries: Sequence[Json]) -> _Scale:
    """Return the scale of the bars: the whole range of a share or score, else the highest bound."""
    highs = [entry["high"] for entry in entries if _has(entry)]
    low = min([0.0, *(entry["low"] for entry in entries if _has(entry))])
    if "_accuracy" in metric or metric.startswith("ssim"):
        return low, 1.0
    if "_score" in metric:
        return low, max([5.0, *highs])
    return low, float(max([*highs, 1e-9]))


def _cell(metric: str, entry: Json, scale: _Scale) -> Cell:
    if not entry:
        return Cell("–")
    if entry["mean"] is None:
        return Cell("–", reason=str(entry["reason"]), command=entry.get("command"))
    low, mean, high = (_percent(entry[key], scale) for key in ("low", "mean", "high"))
    return Cell(
        text=amount(metric, entry["mean"]),
        interval=f"{amount(metric, entry['low'])} to {amount(metric, entry['high'])}",
        left=low,
        right=high,
        at=mean,
        count=entry["count"],
        coverage=entry["coverage"],
    )


def _percent(value: float, scale: _Scale) -> float:
    start, end = scale
    return round(100 * min(max((value - start) / (end - start), 0.0), 1.0), 1)
