"""The calibration page `calibration.html`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from markupsafe import Markup

from editloop.judges.calibration.asking import Judged
from editloop.judges.calibration.gallery import disagreement_cards
from editloop.judges.calibration.numbers import (
    HEADS,
    RIVAL_HEADS,
    Number,
    agreement,
    number,
    preferences,
    rivals,
    summary,
)
from editloop.judges.calibration.pairs import LEVELS, TruthFacts, TruthPairs
from editloop.judges.calibration.sanity_cases import QUALITIES, SHIFTS
from editloop.schema import Json
from editloop.showing.figures import PALETTE, Axis, Line, lines
from editloop.showing.pages import write_page
from editloop.showing.tables import Cell, Column, Table

__all__ = ["write_calibration_page"]

_AXES = {"edit_type": "edit type", "size": "size", "scene": "photo"}


@dataclass(frozen=True, slots=True)
class _Rule:
    """A row of the sanity table."""

    check: str
    about: str
    perspective: str
    rule: str
    outcome: str
    number: Number
    unit: str
    reason: str | None
    counted: str  # the number of scored cases, if not all are


@dataclass(frozen=True, slots=True)
class _Part:
    """A section of the page: a title and a table with a caption, or the reason for no table."""

    title: str
    told: str
    table: Table | None = None
    first: str = "perspective"


def write_calibration_page(
    results: Mapping[str, Json], judged: Judged[TruthFacts] | None, pairs: TruthPairs, path: Path
) -> None:
    """Write the page; `judged` are the verdicts on the pairs with recorded faults, if any."""
    scores = judged is not None
    names = () if judged is None else judged.perspectives
    colours = dict(zip(names, PALETTE[1:], strict=False))  # the first colour is for baselines
    write_page(
        path,
        path.name,
        kind="calibration",
        title=results["judge"]["name"],
        tiles=_tiles(results),
        results=results,
        scores=scores,
        summary=_summary(results) if scores else None,
        **(_truth(results["truth"]) if scores else {}),
        sanity=_rules(results["sanity"]) if scores else [],
        ladders=_ladders(results["sanity"]["ladders"], colours) if scores else {},
        colours=colours,
        stability=_stability(results),
        gallery={} if judged is None else disagreement_cards(judged, pairs),
    )


def _tiles(results: Mapping[str, Json]) -> dict[str, str]:
    if "reason" in results["truth"]:
        return {"comparisons": f"{results['preferences']['comparisons']:,}"}
    counts = results["sanity"]["counts"]
    return {
        "pairs with recorded faults": f"{results['truth']['pairs']:,}",
        "edits": f"{results['truth']['edits']:,}",
        "sanity rules met": f"{counts['pass']} of {counts['pass'] + counts['fail']}",
    }


def _summary(results: Mapping[str, Json]) -> Table:
    rows = [(name, [_cell(each) for each in row]) for name, row in summary(results).rows.items()]
    return Table([Column(head) for head in HEADS], rows)


def _cell(found: Number) -> Cell:
    left, at, right = (round(100 * place, 1) for place in found.at or (0.0, 0.0, 0.0))
    interval = f"{found.low} to {found.high}" if found.low else ""
    return Cell("–" if found.text == "-" else found.text, interval, left, right, at)


def _table(rows: Mapping[str, Mapping[str, Number]], heads: Sequence[str] = ()) -> Table:
    """Return a table of numbers by row label and column name."""
    names = list(heads) or list(dict.fromkeys(name for row in rows.values() for name in row))
    return Table(
        [Column(name) for name in names],
        [
            (label, [_cell(row.get(name, Number())) for name in names])
            for label, row in rows.items()
        ],
    )


def _sliced(truth: Mapping[str, Json]) -> dict[str, Table]:
    """Return tables of the share of right yes and no, by edit type, size and photo."""
    return {
        f"Yes/no right by {title}": _table(
            {
                name: {
                    value: number("share", found[name])
                    for value, found in truth["slices"][axis].items()
                }
                for name, _ in _each(truth)
            }
        )
        for axis, title in _AXES.items()
    }


def _each(part: Mapping[str, Json]) -> Sequence[tuple[str, Json]]:
    return list(part["perspectives"].items())


def _sensitivity(found: Mapping[str, Json]) -> Table:
    """Return a table by kind of fault: how reliably it is noticed, and points lost by severity."""
    rows = {}
    for kind, each in found.items():
        row = {"told from the right edit": number("share", each["told_apart"])}
        for one in each["severities"]:
            drop = number("points", one["drop"], 100)
            lost = f"{drop.text} of {one['recorded_drop']:.0f}"
            row[f"{one['level']}: points lost"] = replace(drop, text=lost)
        rows[kind.replace("_", " ")] = row
    heads = ["told from the right edit"]
    heads += [f"{level}: points lost" for level in LEVELS]
    return _table(rows, heads)


def _truth(truth: Mapping[str, Json]) -> dict[str, Json]:
    """Return the tables that compare a judge with the records."""
    return {
        "agreement": _table({name: agreement(each) for name, each in _each(truth)}),
        "confusion": _confusion(truth),
        "noticing": {name: _sensitivity(each) for name, each in truth["sensitivity"].items()},
        "sliced": _sliced(truth),
    }


def _confusion(truth: Mapping[str, Json]) -> Table:
    rows = {
        family: {name: number("points", entry, 100) for name, entry in row.items()}
        for family, row in truth["confusion"].items()
    }
    return _table(rows)


def _rules(sanity: Mapping[str, Json]) -> list[_Rule]:
    return [_rule(row, sanity["edits"]) for row in sanity["checks"]]


def _rule(row: Mapping[str, Json], edits: int) -> _Rule:
    unit = "share" if row["unit"].startswith("share") else "change"
    count = edits if row["number"] is None else row["number"]["count"]
    counted = "" if count == edits else f"{count} of {edits} scored"
    found = number(unit, row["number"], 1.0 if unit == "share" else 100.0)
    kept = ("check", "about", "perspective", "rule", "outcome", "unit", "reason")
    return _Rule(number=found, counted=counted, **{name: row[name] for name in kept})


def _ladders(ladders: Mapping[str, Json], colours: Mapping[str, str]) -> dict[str, Markup]:
    """Return charts of the scores as a right result is shifted and compressed."""
    places = {
        "shift": ([0, *SHIFTS], Axis("pixels to the right, of 256", "points of 100", top=104)),
        "jpeg": ([0, *(100 - each for each in QUALITIES)], Axis("100 − JPEG quality", top=104)),
    }
    charts = {}
    for name, (x, axis) in places.items():
        curves = [
            _curve(perspective, x, steps, colours[perspective])
            for perspective, steps in ladders[name].items()
            if any(steps)
        ]
        charts[name] = lines(curves, axis, f"scores along the {name} ladder")
    return charts


def _curve(name: str, x: Sequence[float], steps: Sequence[Json], colour: str) -> Line:
    there = [(place, step) for place, step in zip(x, steps, strict=True) if step]
    return Line(
        name,
        [place for place, _ in there],
        [step["mean"] for _, step in there],
        colour,
        [step["low"] for _, step in there],
        [step["high"] for _, step in there],
        marked=True,
    )


def _stability(results: Mapping[str, Json]) -> list[_Part]:
    """Return the sections on stability, people and preferences."""
    repeats, drift, people = (results[part] for part in ("repeats", "drift", "people"))
    return [
        _part("Repeats", repeats, "{pairs} pairs, judged {rounds} times", _repeats),
        _part("Drift", drift, "{pairs} pairs, now and when they were frozen", _drift),
        _part("People", people, "against what people rated, in points of 100", _people),
        *_rivals(people),
        _preferences(results["preferences"]),
    ]


def _part(
    title: str,
    found: Mapping[str, Json],
    told: str,
    shown: Callable[[Mapping[str, Json]], Mapping[str, Number]],
) -> _Part:
    if "perspectives" not in found:
        return _Part(title, found["reason"])
    table = _table({name: shown(each) for name, each in _each(found)})
    return _Part(title, told.format_map(found), table)


def _preferences(found: Mapping[str, Json]) -> _Part:
    if "reason" in found:
        return _Part("Preferences", found["reason"])
    told = f"{found['comparisons']:,} comparisons, each asked in both orders"
    rows = {name: {"share": each} for name, each in preferences(found).items()}
    return _Part("Preferences", told, _table(rows), "what")


def _rivals(people: Mapping[str, Json]) -> list[_Part]:
    rows = rivals(people)
    told = "the judge and CLIP's direction, as in HQ-Edit's Table 4"
    beside = (each.get("clip_direction", {}) for each in people.get("perspectives", {}).values())
    reasons = dict.fromkeys(each["reason"] for each in beside if "reason" in each)
    told = "; ".join([told, *(f"CLIP direction: {reason}" for reason in reasons)])
    return [_Part("Beside people", told, _table(rows, RIVAL_HEADS), "method")] if rows else []


def _repeats(found: Mapping[str, Json]) -> dict[str, Number]:
    far = found["range"]
    return {
        "spread of a pair's scores": number("points", found["spread"], 20),
        "equal scores": number("share", found["same"]),
        "judged yes and no": number("share", found["flips"]),
        "rounds' means apart by": Number() if far is None else Number(f"{far:.1f}"),
        "left out": Number(str(found["left_out"])),
    }


def _drift(found: Mapping[str, Json]) -> dict[str, Number]:
    return {
        "then": number("points", found["then"], 100),
        "now": number("points", found["now"], 100),
        "change": number("change", found["change"], 20),
        "more than chance": Number("yes" if found["moved"] else "no"),
        "distance": number("points", found["away"], 20),
        "equal scores": number("share", found["same"]),
        "another yes or no": number("share", found["flips"]),
    }


def _people(found: Mapping[str, Json]) -> dict[str, Number]:
    if "reason" in found:
        return {"images": Number(found["reason"])}
    return {
        "judge's mean": number("points", found["judge"], 100),
        "people's mean": number("points", found["people"], 100),
        "Pearson": number("coefficient", found["pearson"]),
        "Spearman": number("coefficient", found["spearman"]),
        "Kendall": number("coefficient", found["kendall"]),
        "images": Number(f"{found['images']:,}"),
        "raters": Number(f"{found['raters']:,}"),
    }
