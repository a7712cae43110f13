"""Who is asked in a protocol, and how: a seat an editor, or several where the protocol sweeps."""

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
    """An editor under a name of its own, with the protocol's editing settings for it.

    `value` is the swept setting's, `editor` the editor's name without it.
    """

    name: str
    editor: str
    spec: Spec
    editing: Mapping[str, Json]
    value: float | None = None

    @property
    def is_recorded(self) -> bool:
        """Whether its pictures exist already."""
        return self.spec.kind == "recorded"


def seats_of(protocol: Protocol, specs: Sequence[str | Mapping[str, Json]]) -> list[Seat]:
    """The seats of some editors; RecipeError where two have one name, or fix what is swept."""
    editors = [parse_spec(spec, "editor") for spec in specs]
    names = [spec.name for spec in editors]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise RecipeError("two editors have one name", value=twice[0], fix="write NAME=SPEC")
    seats = [seat for spec in editors for seat in _seats(protocol, spec)]
    if len({seat.name for seat in seats}) < len(seats):
        raise RecipeError(
            "two values of a sweep are alike", value=protocol.name, fix="give other `values`"
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
    """Recorded pictures of a sweep lie in a folder a value, as `recorded:OUT/{image_guidance}`."""
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
