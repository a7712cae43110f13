"""Chosen cases of a data set as a report shows them: the source and, where known, the target.

Only the sessions that hold them are read, where they were evaluated; thumbnails alone are kept.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from editloop.errors import EditLoopError
from editloop.evaluation.protocol.card import Protocol
from editloop.evaluation.showing.thumbnails import Picture, light
from editloop.images import decode_rgb
from editloop.schema import EditSample, Image
from editloop.sources.layouts import open_layout

__all__ = ["Truth", "Truths", "read_truths"]


@dataclass(frozen=True, slots=True)
class Truth:
    """What a case's answers are seen beside; `start` is where its session began.

    `instructions` are the session's up to and with this turn.
    """

    source: Picture
    target: Picture | None
    start: Picture
    instructions: Sequence[str]


@dataclass(frozen=True, slots=True)
class Truths:
    """The truths that were found, by the case's id; `problem` says why there are none."""

    found: dict[str, Truth] = field(default_factory=dict)
    problem: str | None = None


def read_truths(protocol: Protocol, folder: Path, ids: Collection[str]) -> Truths:
    """The cases of these ids in a data set; what cannot be read any more is no error."""
    if not ids:
        return Truths()
    try:
        return Truths(dict(_truths(protocol, folder, set(ids))))
    except EditLoopError as error:
        return Truths(problem=f"{error.cause}: {folder}")


def _truths(protocol: Protocol, folder: Path, ids: set[str]) -> Iterator[tuple[str, Truth]]:
    layout = open_layout(protocol.data.layout, folder, **protocol.data.options)
    for session in layout.find(ids):
        for at, sample in enumerate(session):
            if sample.id in ids:
                yield sample.id, _truth(session[: at + 1])


def _truth(turns: Sequence[EditSample]) -> Truth:
    first, last = turns[0], turns[-1]
    source = _shown("source", last.source, f"source of “{last.instruction}”")
    target = last.target
    return Truth(
        source=source,
        target=None if target is None else _shown("target", target, f"“{last.instruction}” done"),
        start=source if last is first else _shown("start", first.source, "the session's start"),
        instructions=[turn.instruction for turn in turns],
    )


def _shown(label: str, image: Image, alt: str) -> Picture:
    return light(label, decode_rgb(image.bytes), alt)
