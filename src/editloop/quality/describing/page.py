"""The page of a data set's description, `describe.html`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from markupsafe import Markup

from editloop.quality.describing.tally import INSTRUCTION_TYPES
from editloop.schema import Json
from editloop.showing.figures import PALETTE, Axis, Ring, bars, wheel
from editloop.showing.labels import label
from editloop.showing.pages import write_page
from editloop.showing.score_charts import histogram, score_chart
from editloop.showing.tables import Cell, Column, Table

__all__ = ["share", "write_description_page"]

_LONGEST = 60  # words; longer instructions are drawn together
_SCALES = (1.0, 5.0, 10.0, 100.0)  # of scores, by the highest value


def write_description_page(results: Mapping[str, Json], path: Path) -> None:
    """Write the page of the results of `describe_data`."""
    words = results["words"]
    write_page(
        path,
        path.name,
        kind="describe",
        title=results["data"],
        tiles=_tiles(results),
        results=results,
        instructions={
            name: _instructions(found) for name, found in results["instructions"].items()
        },
        counts={
            "edit type": _counts(results["edit_types"].items()),
            "licence": _counts(results["licences"]["most"], results["licences"]["others"]),
            **{
                f"{name} size": _counts(found["most"], found["others"])
                for name, found in results["sizes"].items()
            },
        },
        lengths=_lengths(words["histogram"]),
        wheel=_wheel(results["keywords"]["verbs"]),
        scores=[
            (label(name), *_score(name, found))
            for name, found in results["scores"].items()
            if found["scored"]
        ],
    )


def _tiles(results: Mapping[str, Json]) -> dict[str, str]:
    unique = sum(found["unique"]["total"] for found in results["instructions"].values())
    tiles = {
        "edits": f"{results['edits']:,}",
        "different instructions": f"{unique:,}",
        "words, mean": f"{results['words']['mean']:.1f}",
        "words, median": f"{results['words']['median']:,}",
    }
    left_out = sum(results["left_out"].values())
    return {**tiles, "left out": f"{left_out:,}"} if left_out else tiles


def _instructions(found: Mapping[str, Json]) -> Table:
    """Return the rows of UltraEdit's Table 5, with the types down the page."""
    instances, unique = found["instances"], found["unique"]
    rows = [
        (
            kind.replace("_", " "),
            [
                Cell(f"{instances[kind]:,}"),
                Cell(share(instances[kind], instances["total"])),
                Cell(f"{unique[kind]:,}"),
                Cell(share(unique[kind], unique["total"])),
            ],
        )
        for kind in (*INSTRUCTION_TYPES, "total")
        if instances[kind]
    ]
    heads = ("instances", "proportion", "different instructions", "proportion")
    return Table([Column(head) for head in heads], rows)


def _counts(counts: Json, others: int = 0) -> Table:
    rows = [*counts, *([("others", others)] if others else [])]
    total = sum(count for _, count in rows)
    cells = [(name, [Cell(f"{count:,}"), Cell(share(count, total))]) for name, count in rows]
    return Table([Column("edits"), Column("proportion")], cells)


def share(count: int, total: int) -> str:
    """Return a share in per cent, as UltraEdit's Table 5 gives it."""
    return f"{100 * count / total:.2f}%" if total else "–"


def _lengths(words: Mapping[str, int]) -> Markup:
    """Return the histogram of the instructions' lengths."""
    last = min(_LONGEST, max(10, *map(int, words)))
    shown: dict[float, int] = dict.fromkeys(range(last + 1), 0)
    for length, count in words.items():
        shown[min(int(length), last)] += count
    ticks = range(0, last + 1, 10 if last > 20 else 2)
    axis = Axis(x="words", percent=True, ticks=ticks, large=True)
    said = ", ".join(f"{length}: {count}" for length, count in shown.items() if count)
    return bars(shown, axis, PALETTE[3], f"instructions by their words ({said})", step=1)


def _wheel(verbs: Json) -> Markup | None:
    """Return the wheel of verbs and objects; None if no instruction has a known verb."""
    if not verbs:
        return None
    rings = [Ring(each["verb"], each["count"], each["objects"]) for each in verbs]
    said = "; ".join(
        f"{each['verb']} {each['count']}: {', '.join(name for name, _ in each['objects'])}"
        for each in verbs
    )
    return wheel(rings, f"verbs of the instructions and their objects ({said})")


def _score(name: str, found: Mapping[str, Json]) -> tuple[str, Markup]:
    values = dict(map(tuple, found["values"]))
    largest = max(map(abs, values))
    high = next((top for top in _SCALES if largest <= top), largest)
    low = -high if min(values) < 0 else 0.0
    note, chart = score_chart(name, histogram(values, low, high), low, high)
    return f"{note}, mean {found['mean']:g}", chart
