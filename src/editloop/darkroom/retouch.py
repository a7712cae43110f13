"""Execution of parsed instructions on any photo: on the whole picture, or in a mask.

Only the photo's pixels are known, so an edit of an object needs a mask, unless the same instruction
added the object. With a mask, nothing outside it changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from editloop.darkroom import masked
from editloop.darkroom.colours import COLOURS
from editloop.darkroom.filling import fill
from editloop.darkroom.language.parsed_instruction import ParsedInstruction, Unclear
from editloop.darkroom.looks import LOOKS
from editloop.darkroom.operations import OPERATIONS, Edit, place
from editloop.darkroom.props import Prop, draw
from editloop.darkroom.scene import Darkroom, Look, Scene
from editloop.darkroom.textures import TEXTURES
from editloop.runtime.seeding import generator
from editloop.schema import EditType, Json, Mask, Pixels

__all__ = ["carry_out"]

_SHRUNK = 0.62  # factor of `shrink`


def carry_out(
    picture: Pixels, asked: Sequence[ParsedInstruction], mask: Mask | None, seed: int
) -> Pixels:
    """Return the picture after all edits; raise Unclear with the reason if one is impossible.

    An all-white mask means everywhere, like a missing one.
    """
    if mask is not None and mask.all():
        mask = None
    work = _Work(picture, mask, seed)
    for number, item in enumerate(asked):
        work.do(item, number)
    return work.picture


class _Work:
    """A picture being edited: its pixels so far, and the scene added by this instruction."""

    def __init__(self, picture: Pixels, mask: Mask | None, seed: int) -> None:
        self._photo = picture
        self._scene = Scene()
        self._mask = mask
        self._seed = seed

    @property
    def picture(self) -> Pixels:
        return Darkroom(self._photo).render(self._scene)

    def do(self, asked: ParsedInstruction, number: int) -> None:
        """Apply one operation."""
        parameters = dict(asked.parameters)
        rng = generator("retouch", self._seed, number)
        if OPERATIONS[asked.operation].seeded and asked.operation in LOOKS:
            parameters["seed"] = int(rng.integers(2**31))
        if asked.object and self._scene.prop(asked.object) is not None:
            self._change(asked, parameters)
        elif asked.operation in LOOKS:
            self._look(asked, parameters)
        elif asked.operation == "add":
            self._add(asked, parameters, rng)
        else:
            self._retouch(asked, parameters, rng)

    def _change(self, asked: ParsedInstruction, parameters: Mapping[str, Json]) -> None:
        """Edit a prop that the same instruction added."""
        edit = Edit(asked.operation, {**parameters, "object": asked.object})
        after = None if asked.operation in (*LOOKS, "add") else edit.apply(self._scene)
        if after is None:
            raise Unclear(f"{asked.operation} would not change the {asked.object} visibly")
        self._scene = after

    def _look(self, asked: ParsedInstruction, parameters: Mapping[str, Json]) -> None:
        background = LOOKS[asked.operation].edit_type is EditType.BACKGROUND
        if self._mask is None:
            look = Look(asked.operation, parameters)
            scene = self._scene.backed(look) if background else self._scene.looked(look)
            if scene is None or asked.object is not None:
                raise _needs_mask(asked.object or "background")
            self._scene = scene
        elif asked.operation == "blur-background":
            self._bake(masked.defocus(self.picture, self._mask))
        else:
            self._bake(LOOKS[asked.operation](self.picture, parameters))

    def _add(
        self, asked: ParsedInstruction, parameters: Mapping[str, Json], rng: np.random.Generator
    ) -> None:
        kind, texture = asked.object or "", parameters.get("texture", "")
        colour = parameters.get("colour") or _any_colour(rng)
        if self._mask is not None:
            self._bake(draw(self.picture, masked.fit(self._mask, kind, colour, texture)))
            return
        if asked.near is not None:
            raise _needs_mask(asked.near)
        found = place(self._scene, kind, parameters.get("place", ""), rng)
        if found is None:
            raise Unclear(f"there is no room left for a {kind}")
        self._scene = self._scene.added(Prop(kind, colour, *found, texture))

    def _retouch(
        self, asked: ParsedInstruction, parameters: Mapping[str, Json], rng: np.random.Generator
    ) -> None:
        """Edit the masked region."""
        if self._mask is None:
            raise _needs_mask(asked.object or "object")
        picture, mask = self.picture, self._mask
        if asked.operation in TEXTURES:
            self._bake(masked.cover(picture, mask, asked.operation))
        elif asked.operation == "recolour":
            self._bake(masked.recolour(picture, mask, parameters["colour"]))
        elif asked.operation == "remove":
            self._bake(fill(picture, mask), soft=False)
        elif asked.operation == "shrink":
            self._bake(masked.shrink(picture, mask, _SHRUNK), soft=False)
        elif asked.operation == "replace":
            prop = masked.fit(mask, parameters["new"], parameters.get("colour") or _any_colour(rng))
            self._bake(draw(fill(picture, mask), prop), soft=False)
        else:
            raise Unclear(f"to {asked.operation} something would change the photo outside its mask")

    def _bake(self, edited: Pixels, *, soft: bool = True) -> None:
        """Merge an edited picture inside the mask into the photo, and clear the scene."""
        if self._mask is None:
            raise AssertionError("only masked edits are baked")
        self._photo = masked.within(self.picture, edited, self._mask, soft=soft)
        self._scene = Scene()


def _needs_mask(name: str) -> Unclear:
    return Unclear(
        f"the darkroom cannot see where the {name} is: give a mask, white where it may edit"
    )


def _any_colour(rng: np.random.Generator) -> str:
    return tuple(COLOURS)[int(rng.integers(len(COLOURS)))]
