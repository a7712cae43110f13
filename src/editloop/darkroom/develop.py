"""Rendering of planned edits: source, target, mask, and the target with faults.

The record in a sample's provenance is enough to render its pictures again, byte for byte: `replay`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from editloop.darkroom.faults import Fault, Truth, apply_faults, fault_from_json, fault_to_json
from editloop.darkroom.operations import Edit
from editloop.darkroom.plans import PlannedTurn, wrong_edits
from editloop.darkroom.scene import Darkroom, Scene, edit_mask
from editloop.errors import StoreError
from editloop.runtime.seeding import generator
from editloop.schema import Json, Mask, Pixels, Provenance
from editloop.sources.reload import reload

__all__ = [
    "GENERATOR",
    "REVISION",
    "Rendered",
    "Wrong",
    "develop",
    "faulty",
    "read_record",
    "replay",
    "replay_faulty",
    "write_record",
]

GENERATOR = "darkroom"
REVISION = "1"  # changes when the same record would give different pixels


@dataclass(frozen=True, slots=True, eq=False)
class Rendered:
    """The pictures of an edit without faults: outside the mask, source and target are identical."""

    source: Pixels
    target: Pixels
    mask: Mask


class Wrong(Mapping[str, Pixels]):
    """Renders of plausible wrong edits, each rendered on access."""

    def __init__(self, darkroom: Darkroom, turn: PlannedTurn, seed: int) -> None:
        self._darkroom = darkroom
        self._turns = wrong_edits(turn, generator(seed, "wrong"))

    def __getitem__(self, name: str) -> Pixels:
        return self._darkroom.render(self._turns[name].after)

    def __iter__(self) -> Iterator[str]:
        return iter(self._turns)

    def __len__(self) -> int:
        return len(self._turns)


def develop(darkroom: Darkroom, turn: PlannedTurn) -> Rendered:
    """Render an edit without faults."""
    source, target = darkroom.render(turn.before), darkroom.render(turn.after)
    mask = edit_mask(turn.edit_type, turn.before, turn.after, source, target)
    return Rendered(source, target, mask)


def faulty(rendered: Rendered, faults: Sequence[Fault], wrong: Wrong, seed: int) -> Pixels:
    """Return the target with faults applied."""
    truth = Truth(rendered.source, rendered.target, rendered.mask, wrong)
    return apply_faults(truth, faults, generator(seed, "damage"))


def write_record(turn: PlannedTurn, number: int, faults: Sequence[Fault]) -> dict[str, Json]:
    """Return what `replay` needs besides the photo, as JSON for `Provenance.parameters`."""
    return {
        "scene": turn.before.to_json(),
        "edit": turn.edit.to_json(),
        "turn": number,
        "faults": [fault_to_json(fault) for fault in faults],
    }


def read_record(provenance: Provenance) -> PlannedTurn:
    """Read the edit from a record; raise StoreError if it is not from this darkroom revision."""
    if provenance.generator != GENERATOR or provenance.revision != REVISION:
        raise StoreError(
            "a record was not made by this darkroom",
            value=f"{provenance.generator} {provenance.revision}",
            fix=f"use samples made by {GENERATOR} {REVISION}",
        )
    before = Scene.from_json(provenance.parameters["scene"])
    edit = Edit.from_json(provenance.parameters["edit"])
    after = edit.apply(before)
    if after is None:
        raise StoreError("a record's edit does not fit its scene", value=edit)
    return PlannedTurn(before, edit, after)


def replay(provenance: Provenance) -> Rendered:
    """Render a record's pictures without faults: the same bytes as when it was made."""
    return develop(Darkroom(reload(provenance)), read_record(provenance))


def replay_faulty(provenance: Provenance) -> Pixels:
    """Render a record's target with its faults, as it was stored."""
    turn, darkroom = read_record(provenance), Darkroom(reload(provenance))
    faults = [fault_from_json(item) for item in provenance.parameters["faults"]]
    seed = provenance.seed or 0
    return faulty(develop(darkroom, turn), faults, Wrong(darkroom, turn, seed), seed)
