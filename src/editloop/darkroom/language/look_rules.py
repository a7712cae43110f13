"""Rules for looks of the whole picture or background; each returns None if it does not apply."""

from __future__ import annotations

from editloop.darkroom.language.clauses import Clause
from editloop.darkroom.language.cues import looks_in, name_of, named_look, the_thing
from editloop.darkroom.language.parsed_instruction import (
    NO_WAY_BACK,
    TWO_THINGS,
    ParsedInstruction,
    Unclear,
)
from editloop.darkroom.looks import LOOKS
from editloop.schema import Json

__all__ = ["background", "blur", "look"]


def background(clause: Clause) -> ParsedInstruction | None:
    """Match a change of the background, which leaves the subject unchanged."""
    in_colour = clause.has("only") and clause.has("quantity:colour") and bool(clause.things)
    if not clause.has("background") and not in_colour:
        return None
    if clause.has("taking") and clause.has("away"):
        raise Unclear(NO_WAY_BACK)
    if clause.has("blurring") and clause.has("greying"):
        raise Unclear(TWO_THINGS)
    drained = clause.has("remove") and clause.has("quantity:colour")
    asked = _other_place(clause) or _other_colour(clause, grey=in_colour or drained)
    if asked is None and clause.has("dimming"):
        asked = ParsedInstruction("dim-background")
    if asked is None:
        raise Unclear("the darkroom cannot change the background in this way")
    return asked


def _other_place(clause: Clause) -> ParsedInstruction | None:
    """Match a new surface or sky, or a blurred background."""
    surface, sky = clause.first("surface"), _sky(clause)
    if surface is not None:
        return ParsedInstruction("surface-background", {"surface": surface})
    if sky is not None:
        return ParsedInstruction("sky-background", {"sky": sky})
    return ParsedInstruction("blur-background") if clause.has("blurring") else None


def _other_colour(clause: Clause, *, grey: bool) -> ParsedInstruction | None:
    """Match a plain, a grey (`grey` if already known) or a tinted background."""
    colour = clause.first("colour")
    if colour is not None and clause.has("plain", "replace"):
        return ParsedInstruction("plain-background", {"colour": colour})
    if grey or clause.has("greying"):
        return ParsedInstruction("grey-background")
    if colour is None:
        return None
    tint = colour in LOOKS["recolour-background"].space["colour"]
    return ParsedInstruction(
        "recolour-background" if tint else "plain-background", {"colour": colour}
    )


def _sky(clause: Clause) -> str | None:
    """Return the most specific sky: "a blue sky with stars" is starry."""
    found = clause.values("sky")
    return next((sky for sky in ("starry", "sunset", "blue") if sky in found), None)


def blur(clause: Clause) -> ParsedInstruction | None:
    """Match a blur of any region with a mask, such as "blur the face"."""
    thing = the_thing(clause)
    if not clause.has("blurring") or looks_in(clause):
        return None
    return ParsedInstruction("blur-background", object=name_of(thing))


def look(clause: Clause) -> ParsedInstruction | None:
    """Match a look by its name, then by a quantity that goes up or down, then by a hint."""
    name = named_look(clause)
    if name in _OPPOSITES and any(unit.text == "less" for unit in clause.free):
        name = _OPPOSITES[name]
    name = name or _measured(clause) or clause.first("hint")
    thing = the_thing(clause)
    if name is None:
        return None
    if clause.has("restoring") and name in LOOKS:
        raise Unclear(NO_WAY_BACK)
    parameters: dict[str, Json] = {}
    if "amount" in LOOKS[name].space:
        parameters["amount"] = clause.first("amount") or "normal"
    return ParsedInstruction(name, parameters, object=None if thing is None else thing.name)


_OPPOSITES = {
    "brighter": "darker",
    "darker": "brighter",
    "warmer": "cooler",
    "cooler": "warmer",
    "vivid": "faded",
    "faded": "vivid",
}
_MEASURES = {  # quantity -> the look when it goes up, and when it goes down
    "brightness": ("brighter", "darker"),
    "contrast": ("more-contrast", "faded"),
    "saturation": ("vivid", "faded"),
    "colour": ("vivid", "faded"),
}


def _measured(clause: Clause) -> str | None:
    """Return the look for more or less of a quantity."""
    if clause.has("quantity:temperature"):
        return {"orange": "warmer", "yellow": "warmer", "blue": "cooler"}.get(
            clause.first("colour") or ""
        )
    for quantity, (up, down) in _MEASURES.items():
        if clause.has(f"quantity:{quantity}"):
            if clause.has("less"):
                return down
            if clause.has("more"):
                return up
    return None
