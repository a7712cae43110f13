"""The texts of an edit: its instruction, the inverse instruction, and the captions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

import numpy as np

from editloop.darkroom.operations import OPERATIONS
from editloop.darkroom.plans import PlannedTurn
from editloop.darkroom.scene import Scene
from editloop.schema import EditType
from editloop.settings import read_yaml

__all__ = [
    "Listed",
    "Phrases",
    "caption",
    "instruction",
    "inverse",
    "listing",
    "phrases",
    "with_article",
]

_SURFACES = {"brick": "a brick wall", "grass": "a green lawn", "gravel": "a bed of gravel"}
_SKIES = {"blue": "a blue sky", "sunset": "a sunset sky", "starry": "a starry night sky"}
_PLACES = {"": "", "left": " on the left", "middle": " in the middle", "right": " on the right"}
_DIRECTIONS = {"left": "to the left", "right": "to the right", "up": "up", "down": "down"}
_OPPOSITES = {"left": "right", "right": "left", "up": "down", "down": "up"}
_MUCH = {"slightly": "slightly ", "normal": "", "much": "much "}
_A_LOT = {"slightly": " a little", "normal": "", "much": " a lot"}


@dataclass(frozen=True, slots=True)
class Phrases:
    """The templates of one operation."""

    ask: tuple[str, ...]
    undo: tuple[str, ...]
    caption: str = ""


@dataclass(frozen=True, slots=True)
class Listed:
    """An operation as listed by `editloop operations`."""

    name: str
    edit_type: EditType
    parameters: Mapping[str, tuple[str, ...]]
    example: str


@lru_cache(maxsize=1)
def phrases() -> Mapping[str, Phrases]:
    """Return the templates of every operation, by name."""
    content = read_yaml(Path(__file__).with_name("phrases.yaml"))
    return MappingProxyType(
        {
            name: Phrases(tuple(words["ask"]), tuple(words["undo"]), words.get("caption", ""))
            for name, words in content.items()
        }
    )


def instruction(turn: PlannedTurn, rng: np.random.Generator) -> str:
    """Return a random instruction for the edit."""
    return _drawn(phrases()[turn.edit.operation].ask, turn, rng)


def inverse(turn: PlannedTurn, rng: np.random.Generator) -> str:
    """Return a random instruction that undoes the edit."""
    return _drawn(phrases()[turn.edit.operation].undo, turn, rng)


def caption(photo: str | None, scene: Scene) -> str:
    """Return a rendered scene's caption: the photo's own caption, the props, then the looks."""
    text = photo or "a photo"
    things = [with_article(prop.description) for prop in scene.props]
    if things:
        text += " with " + " and ".join(things)
    looks = [
        phrases()[look.name].caption.format_map(_parameter_slots(look.parameters))
        for look in scene.looks
    ]
    return ", ".join([text, *looks])


def listing() -> list[Listed]:
    """Return every operation with its parameters and an example, ordered by edit type."""
    order = list(EditType)
    rows = [
        Listed(name, operation.edit_type, operation.space, _example(name))
        for name, operation in OPERATIONS.items()
    ]
    return sorted(rows, key=lambda row: order.index(row.edit_type))


def with_article(words: str) -> str:
    """Prefix words with "a" or "an"."""
    return f"an {words}" if words[0] in "aeiou" else f"a {words}"


def _drawn(templates: tuple[str, ...], turn: PlannedTurn, rng: np.random.Generator) -> str:
    template = templates[int(rng.integers(len(templates)))]
    return template.format_map(_slots(turn, described=bool(rng.random() < 0.5)))


def _slots(turn: PlannedTurn, *, described: bool) -> dict[str, str]:
    """Return the values of a template's slots; `described` adds an object's colour or texture."""
    parameters = turn.edit.parameters
    slots = _parameter_slots(parameters)
    kind = parameters.get("object", "")
    old = turn.before.prop(kind)
    slots["kind"] = kind
    slots["object"] = old.description if old and described else kind
    slots["subject"] = " and the ".join(
        prop.description if described else prop.kind for prop in turn.before.props
    )
    if old is not None:
        slots |= {"was": with_article(old.description), "was_colour": old.colour}
    if "colour" in parameters:
        slots["thing"] = with_article(f"{parameters['colour']} {kind}")
        slots["new_thing"] = with_article(f"{parameters['colour']} {parameters.get('new', '')}")
    return slots


def _parameter_slots(parameters: Mapping[str, str]) -> dict[str, str]:
    """Return the slot values that depend only on the parameters, not on the scene."""
    slots = {name: str(value) for name, value in parameters.items()}
    tables = {
        "place": {"place": _PLACES},
        "direction": {"direction_words": _DIRECTIONS},
        "surface": {"surface_words": _SURFACES},
        "sky": {"sky_words": _SKIES},
        "amount": {"much": _MUCH, "a_lot": _A_LOT, "much_caption": _MUCH},
    }
    for name, words in tables.items():
        if name in parameters:
            slots |= {slot: table[parameters[name]] for slot, table in words.items()}
    if "direction" in parameters:
        slots["opposite_words"] = _DIRECTIONS[_OPPOSITES[parameters["direction"]]]
    return slots


def _example(name: str) -> str:
    """Return an operation's first template, filled with the first value of each parameter."""
    first = {key: values[0] for key, values in OPERATIONS[name].space.items()}
    slots = {"object": "ball", "subject": "ball", **_parameter_slots(first)}
    slots["thing"] = "a red ball"
    slots["new_thing"] = "a red star"
    return phrases()[name].ask[0].format_map(slots)
