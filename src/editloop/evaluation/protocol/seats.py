"""The seats of a protocol: one per editor, or one per editor and value where it sweeps a setting.

A seat is an editor with the settings it is evaluated with.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from editloop.errors import RecipeError
from editloop.evaluation.protocol.card import Protocol, Sweep
from editloop.registry import Spec, parse_spec
from editloop.schema import Json

__all__ = ["Seat", "seats_of"]


@dataclass(frozen=True, slots=True)
class Seat:
    """An editor under a unique name, with the protocol's editing settings for it.

    `value` is the value of the swept setting, `editor` the editor's name without it.
    """

    name: str
    editor: str
    spec: Spec
    editing: Mapping[str, Json]
    value: float | None = None

    @property
    def is_recorded(self) -> bool:
        """True if its pictures already exist as files."""
        return self.spec.kind == "recorded"


def seats_of(protocol: Protocol, specs: Sequence[str | Mapping[str, Json]]) -> list[Seat]:
    """Return the seats of some editors.

    Raises RecipeError where two have the same name, or where a SPEC sets the swept setting.
    """
    editors = [parse_spec(spec, "editor") for spec in specs]
    names = [spec.name for spec in editors]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise RecipeError("two editors have the same name", value=twice[0], fix="write NAME=SPEC")
    seats = [seat for spec in editors for seat in _seats(protocol, spec)]
    if len({seat.name for seat in seats}) < len(seats):
        raise RecipeError(
            "two values of a sweep are equal", value=protocol.name, fix="change its `values`"
        )
    return seats


def _seats(protocol: Protocol, spec: Spec) -> Iterator[Seat]:
    sweep = protocol.sweep
    if sweep is None:
        yield Seat(spec.name, spec.name, spec, protocol.editing)
        return
    if sweep.setting in spec.settings:
        raise RecipeError(
            f"the protocol sweeps {sweep.setting}", value=spec.name, fix="leave it out of the SPEC"
        )
    for value in sweep.values:
        editing = {**protocol.editing, sweep.setting: value}
        name = f"{spec.name}@{value:g}"
        yield Seat(name, spec.name, _at(spec, sweep, value), editing, value)


def _at(spec: Spec, sweep: Sweep, value: float) -> Spec:
    """Return the SPEC for one value of a sweep.

    Recorded pictures need one folder per value, written as `recorded:OUT/{image_guidance}`.
    """
    target = spec.settings.get("target")
    if spec.kind != "recorded" or not isinstance(target, str):
        return spec
    found = target.replace(f"{{{sweep.setting}}}", f"{value:g}")
    if found == target:
        raise RecipeError(
            f"recorded pictures of a sweep need a folder for each {sweep.setting}",
            value=spec.name,
            fix=f"write recorded:FOLDER/{{{sweep.setting}}}",
        )
    return replace(spec, settings={**spec.settings, "target": found})
