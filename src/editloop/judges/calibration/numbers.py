"""A calibration's numbers as text, for the terminal and for the page.

`summary` is the main table, with one row for each perspective.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from editloop.schema import Json

__all__ = [
    "HEADS",
    "RIVAL_HEADS",
    "Number",
    "Summary",
    "agreement",
    "number",
    "preferences",
    "rivals",
    "summary",
]

# The column headings of the summary.
HEADS = (
    "yes/no right",
    "Pearson",
    "Spearman",
    "Kendall",
    "sanity rules met",
    "spread in repeats",
    "drift",
    "people, Pearson",
    "scored",
)
RIVAL_HEADS = ("average", "Pearson", "images")  # the columns of `rivals`
_NOTHING = "-"
_SIGNED = ("change", "place")  # units of numbers that may be negative


@dataclass(frozen=True, slots=True)
class Number:
    """A number with its 95% interval, as text; `at` holds their positions on a scale of 0 to 1."""

    text: str = _NOTHING
    low: str = ""
    high: str = ""
    at: tuple[float, float, float] | None = None  # low, number, high


@dataclass(frozen=True, slots=True)
class Summary:
    """The main table: each perspective's numbers, one for each of HEADS."""

    rows: Mapping[str, tuple[Number, ...]]


def number(unit: str, entry: Json, top: float = 1.0) -> Number:
    """Return a mean with its interval as text; a dash for None.

    `top` is the end of its scale, in the unit. Scales of signed units have 0 in the middle.
    """
    if entry is None:
        return Number()
    low, mean, high = (entry[key] for key in ("low", "mean", "high"))
    start = -top if unit in _SIGNED else 0.0

    def place(value: float) -> float:
        return min(1.0, max(0.0, (value - start) / (top - start)))

    text, least, most = (_written(unit, value) for value in (mean, low, high))
    return Number(text, least, most, (place(low), place(mean), place(high)))


def summary(results: Mapping[str, Json]) -> Summary:
    """Return the main table of a judge that gives scores."""
    rows = {}
    for name, found in results["truth"].get("perspectives", {}).items():
        rows[name] = (
            number("share", found["accuracy"]),
            *(number("coefficient", found[each]) for each in ("pearson", "spearman", "kendall")),
            _sanity(results, name),
            number("points", _of(results["repeats"], name).get("spread"), 20),
            number("change", _of(results["drift"], name).get("change"), 20),
            number("coefficient", _people(results, name)),
            Number(f"{100 * found['coverage']:.0f}%"),
        )
    return Summary(rows)


def agreement(found: Mapping[str, Json]) -> dict[str, Number]:
    """Return more numbers on how a perspective's verdicts agree with the records."""
    guess = found["always_yes"]
    return {
        "yes/no right": number("share", found["accuracy"]),
        "always yes": Number() if guess is None else Number(_written("share", guess)),
        "good passed": number("share", found["good_passed"]),
        "bad failed": number("share", found["bad_failed"]),
        "judge − record, points": number("change", found["bias"], 20),
    }


def rivals(people: Mapping[str, Json]) -> dict[str, dict[str, Number]]:
    """Return the rows of HQ-Edit's Table 4: the judge, CLIP's direction, and people.

    For each perspective that people rated and CLIP's direction stands beside.
    """
    rows: dict[str, dict[str, Number]] = {}
    for name, found in people.get("perspectives", {}).items():
        direction = found.get("clip_direction")
        if direction is None:
            continue
        if "reason" not in found:
            rows[f"judge: {found['perspective']}"] = _rival(found)
        rows[f"CLIP direction: {name}"] = {} if "reason" in direction else _rival(direction)
        if "reason" not in found:
            average = number("points", found["people"], 100)
            rows[f"people: {name}"] = {"average": average, "Pearson": Number("1.00")}
    return rows


def _rival(found: Mapping[str, Json]) -> dict[str, Number]:
    return {
        "average": number("points", found["judge"], 100),
        "Pearson": number("coefficient", found["pearson"]),
        "images": Number(f"{found['images']:,}"),
    }


def preferences(found: Mapping[str, Json]) -> dict[str, Number]:
    """Return a pairwise judge's numbers by their labels."""
    right = {
        f"{family} fault seen": number("share", entry)
        for family, entry in found["right"].items()
        if family != "none"
    }
    return {
        **right,
        "a tie for equal edits": number("share", found["right"]["none"]),
        "both orders agree": number("share", found["agreed"]),
        "first place over second": number("place", found["place"]),
        "answered": Number(f"{100 * found['coverage']:.1f}%"),
    }


def _sanity(results: Mapping[str, Json], name: str) -> Number:
    outcomes = [row["outcome"] for row in _rows(results["sanity"], name)]
    tested = [outcome for outcome in outcomes if outcome != "not applicable"]
    return Number(f"{tested.count('pass')} of {len(tested)}") if tested else Number()


def _rows(sanity: Mapping[str, Json], name: str) -> Iterator[Json]:
    return (row for row in sanity["checks"] if row["perspective"] == name)


def _of(part: Mapping[str, Json], name: str) -> Json:
    return part.get("perspectives", {}).get(name, {})


def _people(results: Mapping[str, Json], name: str) -> Json:
    """Return the correlation with people's ratings of this perspective, or of a related one."""
    found = results["people"].get("perspectives", {})
    own = [each for each in found.values() if each.get("perspective") == name]
    return found.get(name, own[0] if own else {}).get("pearson")


def _written(unit: str, value: float) -> str:
    if unit == "share":
        return f"{100 * value:.1f}%"
    if unit == "coefficient":
        return _signed(f"{value:.2f}")
    if unit == "change":
        return _signed(f"{value:+.1f}")
    if unit == "place":
        return _signed(f"{100 * value:+.1f}%")
    return _signed(f"{value:.1f}")


def _signed(text: str) -> str:
    zero = text.strip("+-0.%") == ""
    return text.lstrip("+-") if zero else text.replace("-", "−")
