"""Scenes: ordered layers over a photo, and their rendering.

A scene is a stack of layers, props and looks, over a photo it does not contain. Rendering is a pure
function of both, at every resolution. The pixels that an edit changes are known exactly: those that
the edited props cover, and all others that differ after rendering (a look that works on
neighbourhoods can spread a change by a few pixels).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np

from editloop.darkroom.looks import LOOKS
from editloop.darkroom.props import Prop, body, draw, reach
from editloop.schema import EditType, Json, Mask, Pixels, canonical_json

__all__ = ["SMALLEST", "Darkroom", "Layer", "Look", "Scene", "edit_mask", "render"]

SMALLEST = 32  # minimum short side of a photo in pixels: below, looks and props are illegible


@dataclass(frozen=True, slots=True)
class Look:
    """A look in a scene: the kind's name and its parameters."""

    name: str
    parameters: Mapping[str, Json] = field(default_factory=dict)


Layer: TypeAlias = Prop | Look


@dataclass(frozen=True, slots=True)
class Scene:
    """The layers over a photo, lowest first."""

    layers: tuple[Layer, ...] = ()

    @property
    def props(self) -> tuple[Prop, ...]:
        """The props, lowest first; their kinds are all different."""
        return tuple(layer for layer in self.layers if isinstance(layer, Prop))

    @property
    def looks(self) -> tuple[Look, ...]:
        """The looks, lowest first."""
        return tuple(layer for layer in self.layers if isinstance(layer, Look))

    def prop(self, kind: str) -> Prop | None:
        """Return the prop of a kind, if there is one."""
        return next((prop for prop in self.props if prop.kind == kind), None)

    def added(self, prop: Prop) -> Scene:
        """Return the scene with a new prop on top, but below any light looks there."""
        at = len(self.layers)
        while at and _is_light(self.layers[at - 1]):
            at -= 1
        return Scene((*self.layers[:at], prop, *self.layers[at:]))

    def removed(self, kind: str) -> Scene:
        """Return the scene without the prop of a kind."""
        return Scene(tuple(layer for layer in self.layers if not _is_prop(layer, kind)))

    def changed(self, kind: str, new: Prop) -> Scene:
        """Return the scene with one prop replaced by another.

        If more than its position and size changes, it is moved above looks that are not light.
        """
        at, old = next((i, it) for i, it in enumerate(self.layers) if _is_prop(it, kind))
        if self._hidden_from(at) and not _is_same_thing(old, new):
            return self.removed(kind).added(new)
        return Scene((*self.layers[:at], new, *self.layers[at + 1 :]))

    def looked(self, look: Look) -> Scene:
        """Return the scene with a look over everything."""
        return Scene((*self.layers, look))

    def backed(self, look: Look) -> Scene | None:
        """Return the scene with a look behind every prop; None without a prop, or if hidden."""
        first = next((i for i, layer in enumerate(self.layers) if isinstance(layer, Prop)), None)
        if first is None or self._hidden_from(first):
            return None
        return Scene((*self.layers[:first], look, *self.layers[first:]))

    def _hidden_from(self, at: int) -> bool:
        """Return whether a look that is not light is above the layer at an index."""
        above = self.layers[at + 1 :]
        return any(isinstance(layer, Look) and not _is_light(layer) for layer in above)

    def to_json(self) -> list[Json]:
        """Return the scene as JSON; `from_json` reads it back."""
        return [
            {"prop": layer.to_json()}
            if isinstance(layer, Prop)
            else {"look": layer.name, "parameters": dict(layer.parameters)}
            for layer in self.layers
        ]

    @classmethod
    def from_json(cls, value: Json) -> Scene:
        """Return the scene that `to_json` wrote."""
        return cls(
            tuple(
                Prop.from_json(item["prop"])
                if "prop" in item
                else Look(item["look"], item["parameters"])
                for item in value
            )
        )


def _is_prop(layer: Layer, kind: str) -> bool:
    return isinstance(layer, Prop) and layer.kind == kind


def _is_same_thing(old: Layer, new: Prop) -> bool:
    """Return whether two props differ at most in position and size."""
    return isinstance(old, Prop) and replace(old, x=new.x, y=new.y, size=new.size) == new


def _is_light(layer: Layer) -> bool:
    return isinstance(layer, Look) and LOOKS[layer.name].light


class Darkroom:
    """A renderer of scenes over one photo, which caches every stack of layers."""

    def __init__(self, photo: Pixels) -> None:
        self._made: dict[str, Pixels] = {"[]": photo}

    def render(self, scene: Scene) -> Pixels:
        """Return the photo with all layers of a scene."""
        key = canonical_json(scene.to_json())
        if key not in self._made:
            below = self.render(Scene(scene.layers[:-1]))
            layer = scene.layers[-1]
            self._made[key] = (
                draw(below, layer)
                if isinstance(layer, Prop)
                else LOOKS[layer.name](below, layer.parameters)
            )
        return self._made[key]


def render(photo: Pixels, scene: Scene) -> Pixels:
    """Return the photo with all layers of a scene; deterministic."""
    return Darkroom(photo).render(scene)


def edit_mask(
    edit_type: EditType, before: Scene, after: Scene, source: Pixels, target: Pixels
) -> Mask:
    """Return the exact mask of an edit: outside it, source and target are identical."""
    shape = source.shape[:2]
    if edit_type in (EditType.GLOBAL, EditType.STYLE):
        return np.full(shape, 255, np.uint8)
    allowed = np.any(source != target, axis=-1)
    if edit_type is EditType.BACKGROUND:
        hidden = np.zeros(shape, np.bool_)
        for prop in after.props:
            hidden |= body(shape, prop, opaque=True)
        allowed |= ~hidden
    for old, new in _touched(before, after):
        allowed |= body(shape, new) if _same_place(old, new) else reach(shape, new)
    return np.where(allowed, 255, 0).astype(np.uint8)


def _touched(before: Scene, after: Scene) -> list[tuple[Prop | None, Prop]]:
    """Return the props that differ between two scenes, each with its counterpart in the other."""
    pairs = [(after.prop(prop.kind), prop) for prop in before.props]
    pairs += [(before.prop(prop.kind), prop) for prop in after.props]
    return [(other, prop) for other, prop in pairs if other != prop]


def _same_place(first: Prop | None, second: Prop) -> bool:
    return (
        first is not None and replace(first, colour=second.colour, texture=second.texture) == second
    )
