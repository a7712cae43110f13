"""The output of `editloop describe`."""

from __future__ import annotations

from collections.abc import Mapping

from editloop.quality.describing.page import share
from editloop.quality.describing.tally import INSTRUCTION_TYPES
from editloop.schema import Json
from editloop.showing.narrow import NarrowColumn, print_line, print_narrow

__all__ = ["print_description"]


def print_description(results: Mapping[str, Json]) -> None:
    """Print the table of instructions by type, and the main counts."""
    for data_type, found in results["instructions"].items():
        instances, unique = found["instances"], found["unique"]
        shown = [kind for kind in (*INSTRUCTION_TYPES, "total") if instances[kind]]
        columns = [
            NarrowColumn("instances", [f"{instances[kind]:,}" for kind in shown]),
            NarrowColumn("%", [share(instances[kind], instances["total"]) for kind in shown]),
            NarrowColumn("different", [f"{unique[kind]:,}" for kind in shown]),
        ]
        print_narrow(data_type, NarrowColumn("type", shown), columns)
    words, keywords = results["words"], results["keywords"]
    print_line(f"words in an instruction: mean {words['mean']:g}, median {words['median']}")
    verbs = ", ".join(f"{each['verb']} {each['count']:,}" for each in keywords["verbs"][:8])
    if verbs:
        print_line(f"most frequent verbs: {verbs}")
    for code, count in results["left_out"].items():
        print_line(f"left out: {count:,} {code}")
