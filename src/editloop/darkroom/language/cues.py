"""The thing that a clause edits, and the look that it names."""

from __future__ import annotations

from editloop.darkroom.language.clauses import Clause, Thing
from editloop.darkroom.language.parsed_instruction import Unclear
from editloop.darkroom.looks import LOOKS

__all__ = ["looks_in", "name_of", "named_look", "the_thing"]


def the_thing(clause: Clause) -> Thing | None:
    """Return the thing to edit; raise Unclear if it is ambiguous or must be known but is not."""
    named = list(dict.fromkeys(thing.name for thing in clause.things))
    if len(named) > 1:
        known = [thing for thing in clause.things if thing.known]
        if len({thing.name for thing in known}) != 1 or len(named) > 2:
            raise Unclear(f"the instruction names several things: {', '.join(named)}")
        return known[0]
    if not named:
        return None
    thing = next((item for item in clause.things if item.definite), clause.things[0])
    if not thing.known and thing.definite is not True:
        raise Unclear(f"the darkroom does not know what {thing.name!r} should become")
    return thing


def name_of(thing: Thing | None) -> str:
    """Return the thing's name, or "" for None."""
    return "" if thing is None else thing.name


def looks_in(clause: Clause) -> dict[str, int]:
    """Return every named look, with the number of words that name it."""
    found: dict[str, int] = {}
    for unit in clause.free:
        for tag in unit.tags:
            if tag.startswith("look:"):
                found[tag[5:]] = found.get(tag[5:], 0) + len(unit.text.split())
    return found


def named_look(clause: Clause) -> str | None:
    """Return the look named by most words; an adjustment only if no other look is named."""
    found = looks_in(clause)
    named = {name: count for name, count in found.items() if "amount" not in LOOKS[name].space}
    best = named or found
    if not best:
        return None
    most = max(best.values())
    winners = [name for name, count in best.items() if count == most]
    if len(winners) > 1 or {*found} >= {"brighter", "dark-corners"}:
        winners = sorted(found)
        raise Unclear(f"the instruction asks for two looks at once, {' and '.join(winners)}")
    return winners[0]
