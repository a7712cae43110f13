"""Notices about an editor: settings that differ from the card, and unused recorded pictures."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from editloop.evaluation.answers.resuming import Answering, Benchmark, Round
from editloop.evaluation.protocol.seats import Seat
from editloop.registry import settings_of
from editloop.schema import Json
from editloop.settings import validate
from editloop.storage.commits import Commit

__all__ = ["departures", "leftovers"]

_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
_MOST_NAMES = 20  # leftover pictures listed by name; the rest are only counted


def departures(seat: Seat) -> dict[str, Json]:
    """Return the editing settings in which a SPEC differs from the card: `given` and `card`."""
    stated = set(seat.editing) & set(seat.spec.settings)
    if not stated:
        return {}
    model = settings_of("editor", seat.spec.kind)
    read = validate(model, seat.spec.settings, where=f"editor {seat.name}")
    own = read.model_dump(mode="json", include=stated)  # converts the SPEC's text to numbers
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
    """Return the number and first names of unused pictures in a recorded editor's folder.

    None where there are none, and for an editor that makes its pictures itself.
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
    names = [path.relative_to(folder).as_posix() for path in found[:_MOST_NAMES]]
    return {"count": len(found), "first": names} if found else None


def _pictures(folder: Path) -> list[Path]:
    return sorted(
        Path(place, name)
        for place, _, names in os.walk(folder, followlinks=True)
        for name in names
        if name.lower().endswith(_SUFFIXES)
    )
