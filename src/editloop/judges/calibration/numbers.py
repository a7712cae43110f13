"""A calibration's numbers as people read them, for the terminal and for the page.

`summary` is the one table that answers all questions: a row a perspective.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from editloop.schema import Json

__all__ = ["HEADS", "Number", "Summary", "agreement", "number", "preferences", "summary"]

# What stands at the head of each column of the summary.
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
_NOTHING = "-"
_SIGNED = ("change", "place")  # units of what may go either way


@dataclass(frozen=True, slots=True)
class Number:
    """A number with its 95% interval, as text; `at` is where they lie on a scale of 0 to 1."""

    text: str = _NOTHING
    low: str = ""
    high: str = ""
    at: tuple[float, float, float] | None = None  # low, number, high


@dataclass(frozen=True, slots=True)
class Summary:
    """The one table: perspectives and their numbers, one for each of HEADS."""

    rows: Mapping[str, tuple[Number, ...]]


def number(unit: str, entry: Json, top: float = 1.0) -> Number:
    """A mean with its interval; None is nothing.

    `top` is where its scale ends, in the unit. What may go either way has 0 in the middle.
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
    """The one table of a judge that scores."""
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
    """How a perspective's verdicts agree with the records, beyond what the summary says."""
    guess = found["always_yes"]
    return {
        "yes/no right": number("share", found["accuracy"]),
        "always yes": Number() if guess is None else Number(_written("share", guess)),
        "good passed": number("share", found["good_passed"]),
        "bad failed": number("share", found["bad_failed"]),
        "judge − record, points": number("change", found["bias"], 20),
    }


def preferences(found: Mapping[str, Json]) -> dict[str, Number]:
    """What a judge of two edits is told by, by what the number is called."""
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
    """The correlation with what people rated under this name, or else under a related one."""
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
