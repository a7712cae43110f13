"""The report's tables: cells with their interval drawn to scale, ready for the template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from editloop.evaluation.labels import HIGHER_IS_WORSE, amount, label
from editloop.schema import Json

__all__ = ["Cell", "Column", "Table", "by_metric", "by_slice", "main_metrics"]

# What a first look needs; the rest stands in the table of all metrics.
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


@dataclass(frozen=True, slots=True)
class Cell:
    """A number with its interval; `left` to `right` and `at` are per cent of the column's scale."""

    text: str
    interval: str = ""
    left: float = 0.0
    right: float = 0.0
    at: float = 0.0
    count: int = 0
    whole: bool = True
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Column:
    """A column's heading, and which way is better."""

    name: str
    better: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of an editor (or a metric) and its cells, under columns."""

    columns: Sequence[Column]
    rows: Sequence[tuple[str, Sequence[Cell]]]

    @property
    def reasons(self) -> list[str]:
        """Why some cells are empty, each reason once."""
        cells = (cell for _, row in self.rows for cell in row)
        return list(dict.fromkeys(cell.reason for cell in cells if cell.reason))


def main_metrics(metrics: Sequence[str]) -> list[str]:
    """The metrics of the first table, as far as they were measured."""
    return [metric for metric in _MAIN if metric in metrics] or list(metrics[:8])


def by_metric(scores: Mapping[str, Json], editors: Sequence[str], metrics: Sequence[str]) -> Table:
    """Editors down, metrics across."""
    columns = [Column(label(metric), _better(metric)) for metric in metrics]
    scales = [
        _scale(metric, [scores[editor].get(metric) for editor in editors]) for metric in metrics
    ]
    rows = [
        (
            editor,
            [
                _cell(metric, scores[editor].get(metric), scale)
                for metric, scale in zip(metrics, scales, strict=True)
            ],
        )
        for editor in editors
    ]
    return Table(columns, rows)


def by_slice(slices: Mapping[str, Json], editors: Sequence[str], axis: str, metric: str) -> Table:
    """Editors down, the axis's values (types, photos) across, for one metric."""
    there = [editor for editor in editors if slices.get(editor, {}).get(axis)]
    values = sorted({value for editor in there for value in slices[editor][axis]})
    found = {
        editor: [slices[editor][axis].get(value, {}).get(metric) for value in values]
        for editor in there
    }
    scale = _scale(metric, [entry for entries in found.values() for entry in entries])
    columns = [Column(value) for value in values]
    return Table(
        columns,
        [(editor, [_cell(metric, entry, scale) for entry in found[editor]]) for editor in there],
    )


def _better(metric: str) -> str:
    return "less is better" if metric in HIGHER_IS_WORSE else "more is better"


def _scale(metric: str, entries: Sequence[Json]) -> float:
    """What a full bar stands for: all of a share or score, else the highest bound there is."""
    if "_accuracy" in metric or metric.startswith("ssim"):
        return 1.0
    if "_score" in metric:
        return 5.0
    highs = [entry["high"] for entry in entries if entry and entry["mean"] is not None]
    return float(max([*highs, 1e-9]))


def _cell(metric: str, entry: Json, scale: float) -> Cell:
    if not entry or entry["mean"] is None:
        return Cell("–", reason=_reason(entry))
    low, mean, high = (_percent(entry[key], scale) for key in ("low", "mean", "high"))
    return Cell(
        text=amount(metric, entry["mean"]),
        interval=f"{amount(metric, entry['low'])} to {amount(metric, entry['high'])}",
        left=low,
        right=high,
        at=mean,
        count=entry["count"],
        whole=entry["coverage"] == 1,
    )


def _reason(entry: Json) -> str | None:
    if not entry:
        return None
    command = entry.get("command")
    return f"{entry['reason']}; run `{command}`" if command else str(entry["reason"])


def _percent(value: float, scale: float) -> float:
    return round(100 * min(max(value / scale, 0.0), 1.0), 1)
