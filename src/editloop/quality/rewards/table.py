"""The output of `editloop judge`: a data set's rewards by perspective."""

from __future__ import annotations

from collections.abc import Mapping

from editloop.schema import Json
from editloop.showing.labels import amount, label
from editloop.showing.narrow import NarrowColumn, interval, print_line, print_narrow

__all__ = ["print_rewards"]


def print_rewards(results: Mapping[str, Json]) -> None:
    """Print the rewards in a run's results: means with intervals, and why some are missing."""
    for by_split in results.get("rewards", {}).values():
        for split, found in by_split.items():
            _print_split(split, found)
    waiting = results.get("build", {}).get("by_class", {}).get("transient", 0)
    if waiting:
        print_line(f"{waiting:,} quarantined without a verdict: retry with `editloop retry RUN`")


def _print_split(split: str, found: Mapping[str, Json]) -> None:
    names, means = found["below_highest"], found["means"]
    columns = {
        "yes": [_mean(f"{name}_accuracy", means) for name in names],
        "score": [_mean(f"{name}_score", means) for name in names],
        "below highest": ["-" if share is None else f"{share:.0%}" for share in names.values()],
        "scored": [_coverage(means[f"{name}_score"]) for name in names],
    }
    print_narrow(
        f"{split}: {found['samples']:,} edits, means with 95% intervals",
        NarrowColumn("perspective", [label(name) for name in names]),
        [NarrowColumn(head, cells) for head, cells in columns.items()],
    )
    for name in names:
        score = means[f"{name}_score"]
        if score["mean"] is None:
            print_line(f"  - {label(name)}: {score['reason']}")


def _mean(metric: str, means: Mapping[str, Json]) -> str:
    entry = means.get(metric)
    if entry is None or entry["mean"] is None:
        return "-"
    mean, low, high = (amount(metric, entry[key]) for key in ("mean", "low", "high"))
    return f"{mean}\n{interval(low, high)}"


def _coverage(entry: Mapping[str, Json]) -> str:
    return "0%" if entry["mean"] is None else f"{entry['coverage']:.0%}"
