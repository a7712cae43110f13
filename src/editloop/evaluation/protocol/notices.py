"""Notices about an editor and the data: what a reader of the numbers must know beside them.

An editor's settings that differ from the card; recorded pictures that are unused or unusual;
pictures that released evaluators would read differently; captions that look exchanged.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from editloop.evaluation.answers.resuming import Answering, Benchmark, Round
from editloop.evaluation.protocol.seats import Seat
from editloop.images.codec import unlike_bare
from editloop.registry import settings_of
from editloop.schema import EditSample, Json
from editloop.settings import validate
from editloop.sources.notices import has_global_caption, listed
from editloop.storage.commits import Commit

__all__ = ["DataNotices", "departures", "leftovers", "unusual"]

_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


def departures(seat: Seat, asked: Mapping[str, Json]) -> dict[str, Json]:
    """Return the settings in which a SPEC differs from those that the card asks of its editor.

    Each has what is `given` and what is on the `card`.
    """
    stated = set(asked) & set(seat.spec.settings)
    if not stated:
        return {}
    model = settings_of("editor", seat.spec.kind)
    read = validate(model, seat.spec.settings, where=f"editor {seat.name}")
    own = read.model_dump(mode="json", include=stated)  # converts the SPEC's text to numbers
    return {
        name: {"given": own[name], "card": asked[name]}
        for name in sorted(own)
        if own[name] != asked[name]
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
    asked = {row["path"] for row in _rows(seat, answering, edits, rounds)}
    folder = Path(str(seat.spec.settings["target"])).expanduser().absolute()
    found = [path for path in _pictures(folder) if str(path) not in asked]
    return listed([path.relative_to(folder).as_posix() for path in found])


def unusual(
    seat: Seat,
    answering: Answering,
    edits: Mapping[tuple[str, int], Commit],
    rounds: tuple[Round, ...],
) -> dict[str, Json] | None:
    """Return the number and first ones of recorded pictures with a note, or None."""
    notes = {
        row["path"]: f"{row['id']}: {row['note']}"
        for row in _rows(seat, answering, edits, rounds)
        if row["note"] is not None
    }
    return listed(list(notes.values()))


@dataclass(slots=True)
class DataNotices:
    """Notices about the data of an evaluation, filled as its sessions are read."""

    unlike: list[str] = field(default_factory=list)
    same: list[str] = field(default_factory=list)
    referring: list[str] = field(default_factory=list)

    def note(self, session: Sequence[EditSample]) -> None:
        """Note what is unusual about a session."""
        unlike: dict[int, str] = {}  # a turn's source is the target of the turn before
        for sample in session:
            for name, image in (("source", sample.source), ("target", sample.target)):
                if image is not None and id(image) not in unlike:
                    why = unlike[id(image)] = unlike_bare(image.bytes)
                    self.unlike += [f"{sample.id} {name}: {why}"] if why else []
            if has_global_caption(sample):
                self.same.append(sample.id)
            if sample.references:
                self.referring.append(sample.id)

    def add(self, later: DataNotices) -> None:
        """Add the notices about later sessions."""
        self.unlike += later.unlike
        self.same += later.same
        self.referring += later.referring

    @property
    def facts(self) -> dict[str, Json]:
        """`read_differently`: pictures that `convert("RGB")` alone would show differently, and why.

        `same_captions`: MagicBrush's cases whose local caption is the global one.
        `with_references`: cases with reference pictures. None where there are none.
        """
        return {
            "read_differently": listed(self.unlike),
            "same_captions": listed(self.same),
            "with_references": listed(self.referring),
        }


def _rows(
    seat: Seat,
    answering: Answering,
    edits: Mapping[tuple[str, int], Commit],
    rounds: tuple[Round, ...],
) -> Iterator[Json]:
    for each in rounds:
        for setting in each.asking.settings:
            for _, row in answering.edits(edits, Benchmark(seat.name, each, setting)):
                yield row


def _pictures(folder: Path) -> list[Path]:
    return sorted(
        Path(place, name)
        for place, _, names in os.walk(folder, followlinks=True)
        for name in names
        if name.lower().endswith(_SUFFIXES)
    )
