"""Rules for edits of an object, or with a new one; each returns None if it does not apply."""

from __future__ import annotations

from editloop.darkroom.language.clauses import Clause, Thing
from editloop.darkroom.language.cues import looks_in, name_of, named_look, the_thing
from editloop.darkroom.language.parsed_instruction import (
    NO_WAY_BACK,
    TWO_THINGS,
    ParsedInstruction,
    Unclear,
)

__all__ = ["addition", "colour", "motion", "negated", "removal", "replacement", "size", "texture"]


def negated(clause: Clause) -> ParsedInstruction | None:
    """Match "I don't want the cone" as a removal; raise Unclear for any other "don't"."""
    if not clause.has("negation"):
        return None
    thing = the_thing(clause)
    if thing is not None and clause.has("wanting"):
        return ParsedInstruction("remove", object=thing.name)
    raise Unclear("the instruction says what not to do")


def replacement(clause: Clause) -> ParsedInstruction | None:
    """Match two different things and a verb that replaces one by the other."""
    if not clause.has("replace", "substitute", "rather", "changing") or not clause.things:
        return None
    first, *others = clause.things
    other = next((thing for thing in others if thing.name != first.name), None)
    if other is None or (clause.has("changing") and other.definite is not False):
        return None
    old, new = (other, first) if _reversed(clause, first, other) else (first, other)
    if not new.known:
        raise Unclear(f"the darkroom has no {new.name} to put there")
    colour = new.colour or clause.first("colour")
    parameters = {"new": new.name} | ({"colour": colour} if colour else {})
    return ParsedInstruction("replace", parameters, object=old.name)


def _reversed(clause: Clause, first: Thing, other: Thing) -> bool:
    """Return whether the new thing is named first, as in "a duck instead of the ball"."""
    between = clause.units[first.at : other.start + 1]
    if any("rather" in unit.tags for unit in between):
        return True
    return clause.has("substitute") and any(unit.text == "for" for unit in between)


def addition(clause: Clause) -> ParsedInstruction | None:
    """Match a new prop, such as "a ball", with a verb that adds or without another action."""
    new = next((thing for thing in clause.things if thing.known and not thing.definite), None)
    if new is None:
        if clause.has("add") and any(not t.known and t.definite is False for t in clause.things):
            raise Unclear(f"the darkroom has no {clause.things[0].name} to add")
        return None
    if any(thing.name == new.name and thing.definite for thing in clause.things):
        return None
    if new.definite is None and not clause.has("add"):
        return None
    if clause.has("remove", "move", "enlarge", "shrink", "scale") and not clause.has("add"):
        return None
    unknown = [thing.name for thing in clause.things if not thing.known]
    colour = new.colour or clause.first("colour")
    parameters = {"place": clause.first("place") or ""}
    parameters |= {"colour": colour} if colour else {}
    parameters |= {"texture": new.texture} if new.texture else {}
    return ParsedInstruction(
        "add", parameters, object=new.name, near=unknown[0] if unknown else None
    )


def removal(clause: Clause) -> ParsedInstruction | None:
    """Match the removal of a thing, or of all colour."""
    taken = clause.has("taking") and clause.has("away")
    if not clause.has("remove") and not taken:
        return None
    thing = the_thing(clause)
    if thing is not None:
        return ParsedInstruction("remove", object=thing.name)
    if clause.has("quantity:colour"):
        return ParsedInstruction("black-and-white")
    if looks_in(clause):
        raise Unclear(NO_WAY_BACK)
    return ParsedInstruction("remove", object="") if clause.has("picture") else None


def motion(clause: Clause) -> ParsedInstruction | None:
    """Match moving a thing in a direction."""
    thing, direction = the_thing(clause), clause.first("direction")
    if thing is None:
        return None
    if clause.has("hoist", "sink") and direction not in ("left", "right"):
        return ParsedInstruction(
            "move", {"direction": "up" if clause.has("hoist") else "down"}, thing.name
        )
    if direction is not None and (clause.has("move") or clause.has("add") or _is_nudge(clause)):
        return ParsedInstruction("move", {"direction": direction}, thing.name)
    return None


def _is_nudge(clause: Clause) -> bool:
    """Return whether a thing is brought, not taken away: "bring the cone over to the right"."""
    return clause.has("taking") and not clause.has("away")


def size(clause: Clause) -> ParsedInstruction | None:
    """Match enlarging or shrinking a thing."""
    thing = the_thing(clause)
    if clause.has("enlarge", "shrink", "scale") and clause.first("colour") is not None:
        raise Unclear(TWO_THINGS)
    if clause.has("scale"):
        grows = clause.has("direction:up")
        return ParsedInstruction("enlarge" if grows else "shrink", object=name_of(thing))
    for operation in ("enlarge", "shrink"):
        cues = [unit for unit in clause.free if operation in unit.tags]
        if cues and not all(unit.text.startswith("too ") for unit in cues):
            return ParsedInstruction(operation, object=name_of(thing))
    for operation in ("enlarge", "shrink"):  # only "too large" was written
        if clause.has(operation):
            return ParsedInstruction(operation, object=name_of(thing))
    return None


def texture(clause: Clause) -> ParsedInstruction | None:
    """Match giving a thing a texture."""
    thing = the_thing(clause)
    texture = clause.first("texture")
    if texture is None:
        # "make a wooden hat out of the hat": the texture is an adjective
        texture = next((item.texture for item in clause.things if item.texture), None)
        if texture is None or clause.values("colour") or len(clause.things) < 2:
            return None
    if thing is None and (named_look(clause) or not clause.has("surfacing")):
        return None
    return ParsedInstruction(texture, object=name_of(thing))


def colour(clause: Clause) -> ParsedInstruction | None:
    """Match a colour that is not an adjective of a noun, as in "the mug in green"."""
    thing, colour = the_thing(clause), clause.first("colour")
    if colour is None or named_look(clause) or clause.has("quantity:temperature"):
        return None
    if thing is None and not clause.has("picture"):
        return None
    return ParsedInstruction("recolour", {"colour": colour}, object=name_of(thing))
