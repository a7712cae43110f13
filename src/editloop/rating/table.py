"""The output of `editloop ranking`: a table for each question, and the warnings."""

from __future__ import annotations

from collections.abc import Mapping

from editloop.schema import Json
from editloop.showing.narrow import NarrowColumn, print_line, print_narrow

__all__ = ["print_ranking"]


def print_ranking(results: Mapping[str, Json]) -> None:
    """Print the results of `rank_judgements`."""
    for question, counts in results["counts"].items():
        if "means" in results:
            _print_means(question, results["means"][question])
        else:
            _print_scores(question, results["davidson"][question], counts)
        _print_agreement(results["agreement"][question])
    for warning in results["warnings"]:
        print_line(f"  note: {warning['message']}")


def _print_scores(question: str, found: Mapping[str, Json], counts: Mapping[str, Json]) -> None:
    ordered = sorted(found, key=lambda name: -(found[name]["score"] or 0))
    rows = [found[name] for name in ordered]
    title = f"{question}: {counts['votes']:,} votes, {counts['ties']:,} ties, "
    title += f"{counts['both_bad']:,} both bad; scores in log odds"
    columns = [
        NarrowColumn("score", [_number(row, "score") for row in rows]),
        NarrowColumn("95% interval", [_between(row, "low", "high", ".2f") for row in rows]),
        NarrowColumn("rank", [_between(row, "rank_low", "rank_high", "d") for row in rows]),
    ]
    print_narrow(title, NarrowColumn("editor", ordered), columns)


def _print_means(question: str, found: Mapping[str, Json]) -> None:
    ordered = sorted(found, key=lambda name: -found[name]["mean"])
    rows = [found[name] for name in ordered]
    columns = [
        NarrowColumn("mean", [_number(row, "mean") for row in rows]),
        NarrowColumn("95% interval", [_between(row, "low", "high", ".2f") for row in rows]),
        NarrowColumn("ratings", [f"{row['count']:,}" for row in rows]),
    ]
    print_narrow(question, NarrowColumn("editor", ordered), columns)


def _print_agreement(found: Mapping[str, Json]) -> None:
    if found["alpha"] is None:
        print_line(f"  agreement of raters: unknown, {found['reason']}")
    else:
        interval = _between(found, "low", "high", ".2f")
        print_line(f"  agreement of raters: alpha {found['alpha']:.2f} ({interval})")


def _number(row: Mapping[str, Json], key: str) -> str:
    return "-" if row[key] is None else f"{row[key]:.2f}"


def _between(row: Mapping[str, Json], low: str, high: str, form: str) -> str:
    if row.get(low) is None:
        return "-"
    ends = [f"{row[key]:{form}}" for key in (low, high)]
    return " to ".join(dict.fromkeys(ends))
