"""The output of `editloop lint`."""

from __future__ import annotations

from collections.abc import Mapping

from editloop.quality.lint.findings import DEFECTS
from editloop.schema import Json
from editloop.showing.narrow import NarrowColumn, print_line, print_narrow

__all__ = ["print_lint"]


def print_lint(results: Mapping[str, Json]) -> None:
    """Print the counts of `lint_data`, with the first id of each code."""
    counts, samples = results["counts"], results["samples"]
    first = {each["code"]: each["id"] for each in reversed(results["findings"])}
    if not counts:
        print_line(f"{samples:,} samples: nothing was found")
    else:
        columns = [
            NarrowColumn("findings", [f"{count:,}" for count in counts.values()]),
            NarrowColumn("repair", [DEFECTS[code].repair for code in counts]),
            NarrowColumn("first id", [first[code] for code in counts]),
        ]
        print_narrow(f"{samples:,} samples", NarrowColumn("code", list(counts)), columns)
    for code, reason in results["not_looked_for"].items():
        print_line(f"  {code} was not looked for: {reason}")
    for reason, count in results["not_judged"].items():
        print_line(f"  {count:,} not judged: {reason}")
    if "mended" in results:
        made = results["mended"]
        print_line(
            f"mended: {made['out']:,} kept, {made['dropped']:,} dropped, "
            f"{made['quarantined']:,} quarantined"
        )
