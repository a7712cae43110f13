"""The page of a data set's quality: `quality.html`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from editloop.schema import Json
from editloop.showing.pages import write_page
from editloop.showing.tables import Table, by_metric

__all__ = ["write_quality_page"]


def write_quality_page(results: Mapping[str, Json], path: Path) -> None:
    """Write the page of the results of `measure_data`."""
    tables = {
        "Quality": _table(results, {"all edits": results["quality"]}),
        "By edit type": _sliced(results, "type"),
        "By the data set's own kinds": _sliced(results, "label"),
    }
    samples, sessions = results["samples"], results["sessions"]
    write_page(
        path,
        path.name,
        kind="data quality",
        title=results["data"],
        tiles={
            "edits": f"{samples:,}",
            **({"sessions": f"{sessions:,}"} if sessions < samples else {}),
            "layout": results["layout"]["name"],
        },
        tables={name: table for name, table in tables.items() if table.rows},
        results=results,
    )


def _sliced(results: Mapping[str, Json], axis: str) -> Table:
    counts = results["counts"].get(axis, {})
    found = results["slices"].get(axis, {})
    return _table(
        results, {f"{value} ({counts[value]:,})": scores for value, scores in found.items()}
    )


def _table(results: Mapping[str, Json], found: Mapping[str, Json]) -> Table:
    return by_metric(found, list(found), [metric["name"] for metric in results["metrics"]])
