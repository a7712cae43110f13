"""Why inputs of a build did not come out: counts by reason, the first ids, where the rest is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import typer

from editloop.schema import Json
from editloop.showing.terminal import say
from editloop.storage.parquet import read_rows

__all__ = ["fail_without_output", "print_left_out"]

_FIRST = 3  # ids of each reason


def print_left_out(run: Path, results: Mapping[str, Json]) -> None:
    """Print what a run's build dropped and quarantined, by reason, most frequent first."""
    by_step = results.get("build", {}).get("by_step", {})
    for end, reason in (("quarantined", "code"), ("dropped", "reason")):
        counts = {
            (step, each): count
            for step, reasons in by_step.get(end, {}).items()
            for each, count in reasons.items()
        }
        if not counts:
            continue
        path = run / "rejects" / f"{end}.parquet"
        ids, words = _first(path, reason) if path.is_file() else ({}, {})
        for key, count in sorted(counts.items(), key=lambda item: -item[1]):
            more = ", ..." if count > len(ids.get(key, ())) else ""
            named = f": {', '.join(ids[key])}{more}" if key in ids else ""
            say(f"{end} {count:,} by {key[0]}, {key[1]}{named}")
            if key in words:
                say(f"  such as: {words[key]}")
        say(f"all that were {end}: {path}")


def fail_without_output(results: Mapping[str, Json]) -> None:
    """End the command with exit code 1 if a build has inputs, but no output."""
    build = results.get("build")
    if build is not None and not build["out"]:
        say(f"nothing came out of {build['in']:,} inputs", err=True)
        raise typer.Exit(1)


def _first(
    path: Path, reason: str
) -> tuple[dict[tuple[str, str], list[str]], dict[tuple[str, str], str]]:
    """Return the first ids of each step's reasons, and the message of the first."""
    ids: dict[tuple[str, str], list[str]] = {}
    words: dict[tuple[str, str], str] = {}
    columns = ["id", "step", reason, *(["message"] if reason == "code" else [])]
    for row in read_rows(path, columns, what="rejected inputs"):
        key = row["step"], row[reason]
        if len(ids.setdefault(key, [])) < _FIRST:
            ids[key].append(row["id"])
        if reason == "code":
            words.setdefault(key, row["message"])
    return ids, words
