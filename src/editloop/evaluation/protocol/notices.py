"""How an editor departs from its protocol's card, and what lay there that nobody asked for."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from editloop.evaluation.answers.resuming import Answering, Benchmark, Round
from editloop.evaluation.protocol.seats import Seat
from editloop.registry import load
from editloop.schema import Json
from editloop.settings import validate
from editloop.storage.commits import Commit

__all__ = ["departures", "leftovers"]

_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
_TOLD = 20  # names of leftover pictures; the rest are counted


def departures(seat: Seat) -> dict[str, Json]:
    """The card's editing settings that a SPEC sets otherwise: what is `given`, and the `card`'s."""
    stated = set(seat.editing) & set(seat.spec.settings)
    if not stated:
        return {}
    model = load("editor", seat.spec.kind).Settings
    read = validate(model, seat.spec.settings, where=f"editor {seat.name}")
    own = read.model_dump(mode="json", include=stated)  # as numbers, where the SPEC is text
    return {
        name: {"given": own[name], "card": seat.editing[name]}
        for name in sorted(own)
        if own[name] != seat.editing[name]
    }


def leftovers(
    seat: Seat,
    answering: Answering,
    edits: Mapping[tuple[str, int], Commit],
    rounds: tuple[Round, ...],
) -> dict[str, Json] | None:
    """The pictures in a recorded editor's folder that no turn asks for: how many, and the first.

    None where there are none, and for an editor that makes its pictures.
    """
    if not seat.is_recorded:
        return None
    asked = {
        row["path"]
        for each in rounds
        for setting in each.asking.settings
        for _, row in answering.edits(edits, Benchmark(seat.name, each, setting))
    }
    folder = Path(str(seat.spec.settings["target"])).expanduser().absolute()
    found = [path for path in _pictures(folder) if str(path) not in asked]
    names = [path.relative_to(folder).as_posix() for path in found[:_TOLD]]
    return {"count": len(found), "first": names} if found else None


def _pictures(folder: Path) -> list[Path]:
    return sorted(
        Path(place, name)
        for place, _, names in os.walk(folder, followlinks=True)
        for name in names
        if name.lower().endswith(_SUFFIXES)
    )
