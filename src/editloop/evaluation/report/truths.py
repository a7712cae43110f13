"""Read the sources and known targets of chosen cases for a report.

Only the sessions with these cases are read, in parallel, from the folder that was evaluated; only
thumbnails are kept.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from editloop.errors import EditLoopError
from editloop.evaluation.protocol.card import Protocol
from editloop.runtime.machine import cores
from editloop.runtime.prefetching import prefetched
from editloop.schema import EditSample, Image
from editloop.showing.thumbnails import LightPictures, Picture
from editloop.sources.layouts import open_layout

__all__ = ["Truth", "Truths", "read_truths"]


@dataclass(frozen=True, slots=True)
class Truth:
    """A case's source, known target and the `start` of its session.

    `instructions` are the session's instructions up to and including this turn.
    """

    source: Picture
    target: Picture | None
    start: Picture
    instructions: Sequence[str]


@dataclass(frozen=True, slots=True)
class Truths:
    """The truths that were found, by case id; `problem` is why there are none."""

    found: dict[str, Truth] = field(default_factory=dict)
    problem: str | None = None


def read_truths(
    protocol: Protocol, folder: Path, ids: Collection[str], lights: LightPictures
) -> Truths:
    """Read the cases with these ids in a data set; a read error is returned as `problem`."""
    if not ids:
        return Truths()
    try:
        return Truths(dict(_truths(protocol, folder, set(ids), lights)))
    except EditLoopError as error:
        return Truths(problem=f"{error.cause}: {folder}")


def _truths(
    protocol: Protocol, folder: Path, ids: set[str], lights: LightPictures
) -> Iterator[tuple[str, Truth]]:
    layout = open_layout(protocol.data.layout, folder, reading=None, **protocol.data.options)
    make = partial(_of_session, ids=ids, lights=lights)
    for found in prefetched(make, layout.find(ids), cores()):
        yield from found


def _of_session(
    session: Sequence[EditSample], ids: set[str], lights: LightPictures
) -> list[tuple[str, Truth]]:
    return [
        (sample.id, _truth(session[: at + 1], lights))
        for at, sample in enumerate(session)
        if sample.id in ids
    ]


def _truth(turns: Sequence[EditSample], lights: LightPictures) -> Truth:
    def shown(label: str, image: Image, alt: str) -> Picture:
        return lights.shown(label, image.bytes, alt)

    first, last = turns[0], turns[-1]
    source = shown("source", last.source_image, f"source of “{last.instruction}”")
    target = last.target
    return Truth(
        source=source,
        target=None if target is None else shown("target", target, f"“{last.instruction}” done"),
        start=source
        if last is first
        else shown("start", first.source_image, "the session's start"),
        instructions=[turn.instruction for turn in turns],
    )
