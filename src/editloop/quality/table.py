"""The output of `editloop measure`: a data set's quality by kind of edit."""

from __future__ import annotations

from collections.abc import Mapping

from editloop.schema import Json
from editloop.showing.labels import amount, label
from editloop.showing.narrow import NarrowColumn, interval, print_line, print_narrow
from editloop.showing.telling import told_notices

__all__ = ["print_quality"]

_NAMED = 3  # entries of a list of notices that are named


def print_quality(results: Mapping[str, Json]) -> None:
    """Print the results of `measure_data`: all samples, then each kind of edit."""
    rows = _by_kind(results)
    samples, sessions = results["samples"], results["sessions"]
    title = f"{results['data']}: {samples:,} edits"
    if sessions < samples:
        title += f" in {sessions:,} sessions"
    print_narrow(
        f"{title}, means with 95% intervals",
        NarrowColumn("edits", [f"{kind}\n{count:,}" for kind, count in rows]),
        [
            NarrowColumn(label(name), [_cell(name, found[name]) for found in rows.values()])
            for name in (metric["name"] for metric in results["metrics"])
        ],
    )
    for metric, entry in results["quality"].items():
        if entry["mean"] is None:
            command = f"; run `{entry['command']}`" if entry["command"] else ""
            text = f"  - {label(metric)}: {entry['reason']}{command}"
            print_line(text)
    if skipped := results.get("skipped"):
        print_line(f"  - skipped for {skipped['count']:,} faults, such as {skipped['first'][0]}")
    for notice in told_notices(results, _NAMED):
        print_line(f"  - warning: {notice}")


def _by_kind(results: Mapping[str, Json]) -> dict[tuple[str, int], Json]:
    """Return the means by (kind, count): all edits, the types, the data set's own kinds."""
    rows = {("all", results["samples"]): results["quality"]}
    for axis in ("type", "label"):
        for value, scores in results["slices"].get(axis, {}).items():
            name = value if axis == "type" else f"“{value}”"
            rows[name, results["counts"][axis][value]] = scores
    return rows


def _cell(metric: str, entry: Json) -> str:
    if entry["mean"] is None:
        return "-"
    mean, low, high = (amount(metric, entry[key]) for key in ("mean", "low", "high"))
    shown = f"{mean}\n{interval(low, high)}"
    return shown if entry["coverage"] == 1 else f"{shown}\nof {entry['count']:,}"
