"""Random plans of edits: a scene, an edit that fits it, and plausible wrong edits.

All randomness comes from a generator that the caller seeds; nothing is rendered here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from editloop.darkroom.colours import COLOURS, contrast
from editloop.darkroom.operations import OPERATIONS, Edit, Operation, place
from editloop.darkroom.props import KINDS, Prop
from editloop.darkroom.scene import Scene
from editloop.schema import EditType, Json

__all__ = ["PlannedTurn", "draw_scene", "draw_turn", "wrong_edits"]

_TRIES = 60
_PROPS = {  # numbers of props before an edit of each type, and their probabilities
    EditType.GLOBAL: ((0, 1), (0.6, 0.4)),
    EditType.STYLE: ((0, 1), (0.6, 0.4)),
    EditType.ADD: ((0, 1), (0.75, 0.25)),
    EditType.BACKGROUND: ((1, 2), (0.8, 0.2)),
}
_ONE_OR_TWO = ((1, 2), (0.65, 0.35))


@dataclass(frozen=True, slots=True)
class PlannedTurn:
    """An edit with the scenes before and after it."""

    before: Scene
    edit: Edit
    after: Scene

    @property
    def edit_type(self) -> EditType:
        """The operation's edit type."""
        return OPERATIONS[self.edit.operation].edit_type

    @property
    def subject(self) -> str | None:
        """The edited object's kind, "background", or None for the whole picture."""
        if self.edit_type is EditType.BACKGROUND:
            return "background"
        return self.edit.parameters.get("object")


def draw_scene(rng: np.random.Generator, count: int) -> Scene:
    """Draw a scene of `count` props of different kinds and distinct colours, without looks."""
    scene = Scene()
    for _ in range(count):
        kind = _choice(rng, [kind for kind in KINDS if scene.prop(kind) is None])
        colours = [
            colour
            for colour in COLOURS
            if all(contrast(colour, other.colour) > 60 for other in scene.props)
        ]
        colour = _choice(rng, colours)
        found = place(scene, kind, "", rng)
        if found is not None:
            scene = scene.added(Prop(kind, colour, *found))
    return scene


def draw_turn(
    rng: np.random.Generator, names: Sequence[str], scene: Scene | None = None
) -> PlannedTurn | None:
    """Draw an edit by one of the named operations, on a given scene or on a new suitable one.

    The edit type is drawn first, so that all types are equally frequent. None if no edit was found.
    """
    for _ in range(_TRIES if names else 0):
        operation = _draw_operation(rng, names)
        turn = _try(rng, operation, _suited(rng, operation) if scene is None else scene)
        if turn is not None:
            return turn
    return None


def _suited(rng: np.random.Generator, operation: Operation) -> Scene:
    counts, shares = _PROPS.get(operation.edit_type, _ONE_OR_TWO)
    return draw_scene(rng, int(rng.choice(counts, p=shares)))


def _draw_operation(rng: np.random.Generator, names: Sequence[str]) -> Operation:
    types = sorted({OPERATIONS[name].edit_type for name in names})
    edit_type = _choice(rng, types)
    return OPERATIONS[
        _choice(rng, [name for name in names if OPERATIONS[name].edit_type is edit_type])
    ]


def _try(rng: np.random.Generator, operation: Operation, scene: Scene) -> PlannedTurn | None:
    """Plan the operation with random parameters on a scene; None if that is impossible."""
    parameters: dict[str, Json] = {}
    if operation.on_object:
        if not scene.props:
            return None
        parameters["object"] = _choice(rng, [prop.kind for prop in scene.props])
    for name, values in operation.space.items():
        parameters[name] = _choice(rng, values)
    if operation.seeded:
        parameters["seed"] = int(rng.integers(2**31))
    edit = Edit(operation.name, parameters)
    after = edit.apply(scene)
    return None if after is None else PlannedTurn(scene, edit, after)


def wrong_edits(turn: PlannedTurn, rng: np.random.Generator) -> dict[str, PlannedTurn]:
    """Draw the possible wrong edits of a turn, by name: "attribute" and "object"."""
    found = {"attribute": _wrong_attribute(turn, rng), "object": _wrong_object(turn, rng)}
    return {name: wrong for name, wrong in found.items() if wrong is not None}


_OTHER_ATTRIBUTE = ("colour", "direction", "surface", "sky")


def _wrong_attribute(turn: PlannedTurn, rng: np.random.Generator) -> PlannedTurn | None:
    """Return the turn with another colour, direction, backdrop or operation of the same type."""
    operation = OPERATIONS[turn.edit.operation]
    for name in _OTHER_ATTRIBUTE:
        if name in operation.space:
            return _varied(turn, name, operation.space[name], rng)
    if operation.edit_type is EditType.REMOVE:
        return None
    others = [
        other
        for other in OPERATIONS.values()
        if other.edit_type is operation.edit_type
        and other.name != operation.name
        and other.space.keys() == operation.space.keys()
        and other.seeded == operation.seeded
    ]
    for at in rng.permutation(len(others)):
        wrong = _with(turn, Edit(others[int(at)].name, turn.edit.parameters))
        if wrong is not None:
            return wrong
    return None


def _wrong_object(turn: PlannedTurn, rng: np.random.Generator) -> PlannedTurn | None:
    """Return the same edit of the other prop, or with another prop added."""
    operation = OPERATIONS[turn.edit.operation]
    if operation.name == "add":
        return _varied(turn, "object", KINDS, rng)
    if not operation.on_object:
        return None
    return _varied(turn, "object", [prop.kind for prop in turn.before.props], rng)


def _varied(
    turn: PlannedTurn, name: str, values: Sequence[str], rng: np.random.Generator
) -> PlannedTurn | None:
    """Return the turn with another value of one parameter: the first possible in random order."""
    for at in rng.permutation(len(values)):
        value = values[int(at)]
        if value != turn.edit.parameters[name]:
            parameters = {**turn.edit.parameters, name: value}
            wrong = _with(turn, Edit(turn.edit.operation, parameters))
            if wrong is not None and wrong.after != turn.after:
                return wrong
    return None


def _with(turn: PlannedTurn, edit: Edit) -> PlannedTurn | None:
    after = edit.apply(turn.before)
    return None if after is None else PlannedTurn(turn.before, edit, after)


def _choice(rng: np.random.Generator, values: Sequence[str]) -> str:
    return values[int(rng.integers(len(values)))]
