"""The rules that turn a clause into an operation, the most specific first.

Each rule looks at the things and cues of a clause and answers, or passes. `Unclear` ends the search
where a clause is understood well enough to know that the darkroom cannot do it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from editloop.darkroom.clauses import Clause, Thing
from editloop.darkroom.looks import LOOKS
from editloop.schema import Json

__all__ = ["Asked", "Unclear", "decide"]


@dataclass(frozen=True, slots=True)
class Asked:
    """An operation with the parameters that were said.

    `object` is what it is done to: a noun, "" for "it", None where an operation has no object.
    `near` is an unknown thing beside which something new is wanted.
    """

    operation: str
    parameters: Mapping[str, Json] = field(default_factory=dict)
    object: str | None = None
    near: str | None = None


class Unclear(Exception):  # noqa: N818 - it is an answer, not an error
    """A clause asks for nothing that the darkroom can do; the text says why."""


def decide(clause: Clause) -> Asked:
    """The operation a clause asks for; Unclear if there is none."""
    for rule in _RULES:
        asked = rule(clause)
        if asked is not None:
            return asked
    raise Unclear("the darkroom does not understand this instruction")


def _negated(clause: Clause) -> Asked | None:
    """ "I don't want the cone": remove it. Any other "don't" is nothing to do."""
    if not clause.has("negation"):
        return None
    thing = _the_thing(clause)
    if thing is not None and clause.has("wanting"):
        return Asked("remove", object=thing.name)
    raise Unclear("the instruction says what not to do")


def _background(clause: Clause) -> Asked | None:
    """Anything about what is behind a subject; the subject itself is left alone."""
    only_colour = clause.has("only") and clause.has("quantity:colour") and bool(clause.things)
    if not clause.has("background") and not only_colour:
        return None
    if clause.has("taking") and clause.has("away"):
        raise Unclear("the darkroom cannot take a look out of a picture: go back a turn instead")
    colour, surface, sky = clause.first("colour"), clause.first("surface"), _sky(clause)
    if surface is not None:
        return Asked("surface-background", {"surface": surface})
    if sky is not None:
        return Asked("sky-background", {"sky": sky})
    if clause.has("blurring"):
        return Asked("blur-background")
    if colour is not None and clause.has("plain", "replace"):
        return Asked("plain-background", {"colour": colour})
    if clause.has("greying") or only_colour or clause.has("remove") and clause.has("quantity:colour"):
        return Asked("grey-background")
    if colour is not None:
        tint = colour in LOOKS["recolour-background"].space["colour"]
        return Asked("recolour-background" if tint else "plain-background", {"colour": colour})
    if clause.has("dimming"):
        return Asked("dim-background")
    raise Unclear("the darkroom cannot change the background in this way")


def _sky(clause: Clause) -> str | None:
    """The most telling sky: "a blue sky with stars" is starry."""
    found = clause.values("sky")
    return next((sky for sky in ("starry", "sunset", "blue") if sky in found), None)


def _replacement(clause: Clause) -> Asked | None:
    """Two different things and a verb that puts one in the other's place."""
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
    said = {"new": new.name} | ({"colour": colour} if colour else {})
    return Asked("replace", said, object=old.name)


def _reversed(clause: Clause, first: Thing, other: Thing) -> bool:
    """Whether the new thing is named first: "substitute a duck for the ball", "a duck instead of"."""
    between = clause.units[first.at : other.start + 1]
    if any("rather" in unit.tags for unit in between):
        return True
    return clause.has("substitute") and any(unit.text == "for" for unit in between)


def _addition(clause: Clause) -> Asked | None:
    """A new prop: "a ball", with a verb that adds or with no other thing to do."""
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
    said = {"place": clause.first("place") or ""}
    said |= {"colour": colour} if colour else {}
    said |= {"texture": new.texture} if new.texture else {}
    return Asked("add", said, object=new.name, near=unknown[0] if unknown else None)


def _removal(clause: Clause) -> Asked | None:
    taken = clause.has("taking") and clause.has("away")
    if not clause.has("remove") and not taken:
        return None
    thing = _the_thing(clause)
    if thing is not None:
        return Asked("remove", object=thing.name)
    if clause.has("quantity:colour"):
        return Asked("black-and-white")
    if _looks(clause):
        raise Unclear("the darkroom cannot take a look out of a picture: go back a turn instead")
    return None


def _motion(clause: Clause) -> Asked | None:
    thing, direction = _the_thing(clause), clause.first("direction")
    if thing is None:
        return None
    if clause.has("hoist", "sink") and direction not in ("left", "right"):
        return Asked("move", {"direction": "up" if clause.has("hoist") else "down"}, thing.name)
    if direction is not None and (clause.has("move") or clause.has("add") or _is_nudge(clause)):
        return Asked("move", {"direction": direction}, thing.name)
    return None


def _is_nudge(clause: Clause) -> bool:
    """ "bring the cone over to the right": a verb of taking, a direction, nothing else."""
    return clause.has("taking") and not clause.has("away")


def _size(clause: Clause) -> Asked | None:
    thing = _the_thing(clause)
    if clause.has("scale"):
        grows = clause.has("direction:up")
        return Asked("enlarge" if grows else "shrink", object=_name(thing))
    for operation in ("enlarge", "shrink"):
        cues = [unit for unit in clause.free if operation in unit.tags]
        if cues and not all(unit.text.startswith("too ") for unit in cues):
            return Asked(operation, object=_name(thing))
    for operation in ("enlarge", "shrink"):  # only "too large" was said
        if clause.has(operation):
            return Asked(operation, object=_name(thing))
    return None


def _texture(clause: Clause) -> Asked | None:
    thing = _the_thing(clause)
    texture = clause.first("texture")
    if texture is None:
        # "make a wooden hat out of the hat": said as an adjective
        texture = next((item.texture for item in clause.things if item.texture), None)
        if texture is None or clause.values("colour") or len(clause.things) < 2:
            return None
    if thing is None and (_named_look(clause) or not clause.has("surfacing")):
        return None
    return Asked(texture, object=_name(thing))


def _colour(clause: Clause) -> Asked | None:
    """A colour that belongs to no noun, or one said to be a thing's: "the mug in green"."""
    thing, colour = _the_thing(clause), clause.first("colour")
    if colour is None or _named_look(clause) or clause.has("quantity:temperature"):
        return None
    if thing is None and not clause.has("picture"):
        return None
    return Asked("recolour", {"colour": colour}, object=_name(thing))


def _look(clause: Clause) -> Asked | None:
    """A look by its name, then by a cue, then by a measure that goes up or down, then by a hint."""
    name = _named_look(clause)
    if name in _OPPOSITES and any(unit.text == "less" for unit in clause.free):
        name = _OPPOSITES[name]
    name = name or _measured(clause) or clause.first("hint")
    thing = _the_thing(clause)
    if name is None:
        return None
    if clause.has("restoring") and name in LOOKS:
        raise Unclear("the darkroom cannot take a look out of a picture: go back a turn instead")
    said: dict[str, Json] = {}
    if "amount" in LOOKS[name].space:
        said["amount"] = clause.first("amount") or "normal"
    return Asked(name, said, object=None if thing is None else thing.name)


def _looks(clause: Clause) -> dict[str, int]:
    """Every look that is named, with the number of words that name it."""
    found: dict[str, int] = {}
    for unit in clause.free:
        for tag in unit.tags:
            if tag.startswith("look:"):
                found[tag[5:]] = found.get(tag[5:], 0) + len(unit.text.split())
    return found


def _named_look(clause: Clause) -> str | None:
    """The look that most words name; an adjustment only where no other look is named."""
    found = _looks(clause)
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
    """A look that is said as more or less of something."""
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


def _the_thing(clause: Clause) -> Thing | None:
    """The thing that is edited; Unclear where an unknown one is named beside it."""
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


def _name(thing: Thing | None) -> str:
    return "" if thing is None else thing.name


_RULES: tuple[Callable[[Clause], Asked | None], ...] = (
    _negated,
    _background,
    _replacement,
    _addition,
    _removal,
    _motion,
    _size,
    _texture,
    _colour,
    _look,
)
