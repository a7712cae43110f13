"""The editors of a report: their order in each benchmark, and their colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from editloop.editors.copying import CopyEditor
from editloop.schema import Json
from editloop.showing.figures import PALETTE

__all__ = ["colours_of", "curve_of", "does_nothing", "editors_of"]


def editors_of(scores: Mapping[str, Json], facts: Mapping[str, Json]) -> list[str]:
    """Return the editors of a benchmark in the order of the recipe."""
    named = [each["name"] for each in facts.get("editors", ()) if each["name"] in scores]
    return named + [editor for editor in scores if editor not in named]


def does_nothing(editor: str, facts: Mapping[str, Json]) -> bool:
    """Return whether an editor is `copy`, which returns every picture unchanged."""
    return any(
        each["name"] == editor and each["fingerprint"] == CopyEditor.fingerprint
        for each in facts.get("editors", ())
    )


def curve_of(facts: Mapping[str, Json]) -> dict[str, str]:
    """Return, by seat name, the editor whose curve the seat belongs to; empty without a sweep."""
    curves = (facts.get("sweep") or {}).get("curves", {})
    return {seat["name"]: editor for editor, seats in curves.items() for seat in seats}


def colours_of(results: Mapping[str, Json]) -> dict[str, str]:
    """Return each editor's colour, the same in the whole run; points of a curve share one.

    In protocols the first colour, grey, is reserved for editors that do nothing.
    """
    colours: dict[str, str] = {}
    for name, scores in results.get("evaluation", {}).items():
        facts = results.get("benchmarks", {}).get(name, {})
        owners = curve_of(facts)
        for editor in editors_of(scores, facts):
            owner = owners.get(editor, editor)
            if "protocol" in facts and does_nothing(editor, facts):
                colours.setdefault(owner, PALETTE[0])
            colours.setdefault(owner, _next(colours, skip=int("protocol" in facts)))
            colours[editor] = colours[owner]
    return colours


def _next(colours: Mapping[str, str], skip: int) -> str:
    """Return the first unused colour, or a repeated one if all are used."""
    usable: Sequence[str] = PALETTE[skip:]
    free = [colour for colour in usable if colour not in colours.values()]
    return free[0] if free else usable[len(colours) % len(usable)]
