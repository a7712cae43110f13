"""The darkroom's operations by name.

An operation takes a scene and parameters, and returns the scene after the edit, or None if the edit
is impossible or would change nothing. Its instruction phrases are in `language`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType
from typing import TypeAlias

import numpy as np

from editloop.darkroom.colours import COLOURS, contrast
from editloop.darkroom.looks import LOOKS, LookKind
from editloop.darkroom.props import KINDS, Prop
from editloop.darkroom.scene import Look, Scene
from editloop.darkroom.shapes import SHAPES
from editloop.darkroom.textures import TEXTURES
from editloop.runtime.seeding import generator
from editloop.schema import EditType, Json

__all__ = ["DIRECTIONS", "OPERATIONS", "PLACES", "Edit", "Operation", "Parameters", "place"]

Parameters: TypeAlias = Mapping[str, Json]

PLACES = ("left", "middle", "right")
DIRECTIONS: Mapping[str, tuple[float, float]] = MappingProxyType(
    {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
)

_STEP = 0.32  # distance of a move, as a share of the picture's side
_SIZES = (0.17, 0.62)  # minimum and maximum size, as a share of the short side
_GROWTH = 1.55
_VISIBLE_CONTRAST = 45  # between two colours, mean absolute difference in 0..255


@dataclass(frozen=True, slots=True)
class Edit:
    """An operation and its parameters: those stated in the instruction, and a seed for the rest."""

    operation: str
    parameters: Parameters = field(default_factory=dict)

    def to_json(self) -> dict[str, Json]:
        """Return the edit as JSON; `from_json` reads it back."""
        return {"operation": self.operation, "parameters": dict(self.parameters)}

    @classmethod
    def from_json(cls, value: Mapping[str, Json]) -> Edit:
        """Return the edit that `to_json` wrote."""
        return cls(value["operation"], value["parameters"])

    def apply(self, scene: Scene) -> Scene | None:
        """Return the scene after the edit, or None if it is impossible or would change nothing."""
        return OPERATIONS[self.operation].change(scene, self.parameters)


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation of the darkroom.

    `space` holds the allowed values of the parameters stated in an instruction; with `on_object`,
    the parameter `object` is taken from the scene instead. `seeded` operations also take a `seed`.
    """

    name: str
    edit_type: EditType
    change: Callable[[Scene, Parameters], Scene | None]
    space: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    on_object: bool = False
    seeded: bool = False


def place(
    scene: Scene, kind: str, where: str, rng: np.random.Generator
) -> tuple[float, float, float] | None:
    """Draw x, y and size for a new prop at a plausible, free place; None if there is no room.

    `where` is one of PLACES, or empty for anywhere. Floating props are placed higher than standing
    ones.
    """
    floats = SHAPES[kind].foot is None
    for _ in range(40):
        size = float(rng.uniform(0.24, 0.4))
        half = size / 2
        low, high = {"left": (half, 0.3), "middle": (0.42, 0.58), "right": (0.7, 1 - half)}.get(
            where, (half, 1 - half)
        )
        x = float(rng.uniform(low, max(low, high)))
        y = float(rng.uniform(half + 0.02, 0.6) if floats else rng.uniform(0.45, 0.96 - half))
        if all(_apart(x, y, size, prop) for prop in scene.props):
            return round(x, 4), round(y, 4), round(size, 4)
    return None


def _apart(x: float, y: float, size: float, other: Prop) -> bool:
    """Return whether a place overlaps another prop by at most a quarter of their mean size."""
    room = 0.75 * (size + other.size) / 2
    return max(abs(x - other.x), abs(y - other.y)) >= room


def _look(name: str, scene: Scene, parameters: Parameters) -> Scene | None:
    if any(look.name == name for look in scene.looks):
        return None
    look = Look(name, dict(parameters))
    if LOOKS[name].edit_type is EditType.BACKGROUND:
        return scene.backed(look)
    if LOOKS[name].edit_type is EditType.STYLE and any(
        LOOKS[other.name].edit_type is EditType.STYLE for other in scene.looks
    ):
        return None
    return scene.looked(look)


def _recolour(scene: Scene, parameters: Parameters) -> Scene | None:
    prop = scene.prop(parameters["object"])
    if prop is None or prop.texture:
        return None
    if contrast(prop.colour, parameters["colour"]) < _VISIBLE_CONTRAST:
        return None
    return scene.changed(prop.kind, replace(prop, colour=parameters["colour"]))


def _retexture(texture: str, scene: Scene, parameters: Parameters) -> Scene | None:
    prop = scene.prop(parameters["object"])
    if prop is None or prop.texture:
        return None
    return scene.changed(prop.kind, replace(prop, texture=texture))


def _resize(factor: float, scene: Scene, parameters: Parameters) -> Scene | None:
    prop = scene.prop(parameters["object"])
    if prop is None or not _SIZES[0] <= prop.size * factor <= _SIZES[1]:
        return None
    size = round(prop.size * factor, 4)
    base = prop.y - (size - prop.size) / 2  # the lower edge stays in place
    return scene.changed(prop.kind, _inside(replace(prop, size=size, y=base)))


def _move(scene: Scene, parameters: Parameters) -> Scene | None:
    prop = scene.prop(parameters["object"])
    if prop is None:
        return None
    across, down = DIRECTIONS[parameters["direction"]]
    moved = _inside(replace(prop, x=prop.x + across * _STEP, y=prop.y + down * _STEP))
    if abs(moved.x - prop.x) + abs(moved.y - prop.y) < 0.7 * _STEP:
        return None
    if not all(
        _apart(moved.x, moved.y, moved.size, other) for other in scene.props if other != prop
    ):
        return None
    return scene.changed(prop.kind, moved)


def _inside(prop: Prop) -> Prop:
    half = prop.size / 2
    x = min(max(prop.x, half), 1 - half)
    y = min(max(prop.y, half), 1 - half)
    return replace(prop, x=round(x, 4), y=round(y, 4))


def _replace(scene: Scene, parameters: Parameters) -> Scene | None:
    prop = scene.prop(parameters["object"])
    if prop is None or scene.prop(parameters["new"]) is not None:
        return None
    new = replace(prop, kind=parameters["new"], colour=parameters["colour"], texture="")
    return scene.changed(prop.kind, new)


def _add(scene: Scene, parameters: Parameters) -> Scene | None:
    kind = parameters["object"]
    if scene.prop(kind) is not None or len(scene.props) >= 2:
        return None
    found = place(scene, kind, parameters["place"], generator("place", parameters["seed"]))
    return None if found is None else scene.added(Prop(kind, parameters["colour"], *found))


def _remove(scene: Scene, parameters: Parameters) -> Scene | None:
    prop = scene.prop(parameters["object"])
    return None if prop is None else scene.removed(prop.kind)


def _from_look(name: str, look: LookKind) -> Operation:
    return Operation(name, look.edit_type, partial(_look, name), look.space, seeded=look.seeded)


def _on_object(
    name: str,
    edit_type: EditType,
    change: Callable[[Scene, Parameters], Scene | None],
    **space: tuple[str, ...],
) -> Operation:
    return Operation(name, edit_type, change, space, on_object=True)


_COLOURS = tuple(COLOURS)
_OBJECTS = (
    _on_object("recolour", EditType.LOCAL, _recolour, colour=_COLOURS),
    _on_object("enlarge", EditType.LOCAL, partial(_resize, _GROWTH)),
    _on_object("shrink", EditType.LOCAL, partial(_resize, 1 / _GROWTH)),
    _on_object("move", EditType.LOCAL, _move, direction=tuple(DIRECTIONS)),
    _on_object("replace", EditType.LOCAL, _replace, new=KINDS, colour=_COLOURS),
    _on_object("remove", EditType.REMOVE, _remove),
    Operation(
        "add",
        EditType.ADD,
        _add,
        {"object": KINDS, "colour": _COLOURS, "place": ("", *PLACES)},
        seeded=True,
    ),
    *(_on_object(texture, EditType.TEXTURE, partial(_retexture, texture)) for texture in TEXTURES),
)

OPERATIONS: Mapping[str, Operation] = MappingProxyType(
    {
        operation.name: operation
        for operation in (*_OBJECTS, *(_from_look(name, look) for name, look in LOOKS.items()))
    }
)
