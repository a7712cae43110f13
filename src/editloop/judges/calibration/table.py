"""The output of `editloop calibrate`: the main tables, failed sanity rules, missing results."""

from __future__ import annotations

from collections.abc import Mapping

from editloop.judges.calibration.numbers import (
    HEADS,
    RIVAL_HEADS,
    Number,
    number,
    preferences,
    rivals,
    summary,
)
from editloop.schema import Json
from editloop.showing.narrow import NarrowColumn, interval, print_line, print_narrow

__all__ = ["print_calibration"]


def print_calibration(results: Mapping[str, Json]) -> None:
    """Print the results of `calibrate`."""
    if "reason" in results["truth"]:
        _print_preferences(results)
    else:
        _print_summary(results)
        _print_confusion(results["truth"])
        _print_sanity(results["sanity"])
        _print_rivals(results["people"])
        _print_missing(results)
    if results["open"]:
        print_line("  some verdicts are missing for now: run the command again")


def _print_summary(results: Mapping[str, Json]) -> None:
    rows = summary(results).rows
    columns = [
        NarrowColumn(head, [_cell(row[at]) for row in rows.values()])
        for at, head in enumerate(HEADS)
        if any(row[at].text != "-" for row in rows.values())
    ]
    truth = results["truth"]
    title = f"{results['judge']['name']}: {truth['pairs']:,} pairs with recorded faults"
    print_narrow(f"{title}, with 95% intervals", NarrowColumn("perspective", list(rows)), columns)


def _print_confusion(truth: Mapping[str, Json]) -> None:
    found = truth["confusion"]
    names = list(truth["perspectives"])
    print_narrow(
        "points of 100 that a single fault of a family costs",
        NarrowColumn("fault of", list(found)),
        [
            NarrowColumn(name, [_cell(number("points", row[name])) for row in found.values()])
            for name in names
        ],
    )


def _print_sanity(sanity: Mapping[str, Json]) -> None:
    counts = sanity["counts"]
    print_line(
        f"  sanity: {counts['pass']} rules met, {counts['fail']} not met, "
        f"{counts['not applicable']} not applicable"
    )
    for row in sanity["checks"]:
        place = f"{row['check']}, {row['perspective']}"
        if row["outcome"] == "fail":
            unit = "share" if row["unit"].startswith("share") else "change"
            print_line(f"  - not met: {place}: {number(unit, row['number']).text} ({row['rule']})")
    for reason, checks in _not_applicable(sanity).items():
        print_line(f"  - not applicable: {', '.join(checks)}: {reason}")


def _not_applicable(sanity: Mapping[str, Json]) -> dict[str, dict[str, None]]:
    """Return the checks that are not applicable, by reason: each once, in order."""
    found: dict[str, dict[str, None]] = {}
    for row in sanity["checks"]:
        if row["outcome"] == "not applicable":
            found.setdefault(row["reason"], {})[row["check"]] = None
    return found


def _print_rivals(people: Mapping[str, Json]) -> None:
    """Print HQ-Edit's Table 4: the judge and CLIP's direction beside people's ratings."""
    rows = rivals(people)
    if not rows:
        return
    print_narrow(
        "beside people's ratings, in points of 100 (HQ-Edit, Table 4)",
        NarrowColumn("method", list(rows)),
        [
            NarrowColumn(head, [_cell(row.get(head, Number())) for row in rows.values()])
            for head in RIVAL_HEADS
        ],
    )
    for name, found in people["perspectives"].items():
        missing = found.get("clip_direction", {})
        if "reason" in missing:
            command = f"; run `{missing['command']}`" if missing["command"] else ""
            print_line(f"  - CLIP direction: {name}: {missing['reason']}{command}")


def _print_missing(results: Mapping[str, Json]) -> None:
    """Print the reasons for missing scores and results."""
    truth = results["truth"]
    for name, found in truth["perspectives"].items():
        for reason, count in found["unscored"].items():
            print_line(f"  - {name}: {count:,} of {truth['pairs']:,} not scored: {reason}")
    for part in ("repeats", "drift", "people"):
        if "reason" in results[part]:
            print_line(f"  - {part}: {results[part]['reason']}")


def _print_preferences(results: Mapping[str, Json]) -> None:
    found = results["preferences"]
    rows = preferences(found)
    print_narrow(
        f"{results['judge']['name']}: {found['comparisons']:,} comparisons, with 95% intervals",
        NarrowColumn("preference", list(rows)),
        [NarrowColumn("share", [_cell(each) for each in rows.values()])],
    )
    for reason, count in found["unscored"].items():
        print_line(f"  - {count:,} not answered: {reason}")


def _cell(found: Number) -> str:
    if not found.low:
        return found.text
    if found.low[0] in "−+" or found.high[0] in "−+":
        return f"{found.text}\n{found.low} to {found.high}"
    return f"{found.text}\n{interval(found.low, found.high)}"
