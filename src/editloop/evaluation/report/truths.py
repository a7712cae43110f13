"""Read the sources and known targets of chosen cases for a report.

Only the sessions with these cases are read, in parallel, from the folder that was evaluated; only
thumbnails are kept. A run folder may come from somebody else, and name any folder of this machine:
cases are shown only if their content is what was evaluated.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from editloop.errors import ChangedError, EditLoopError
from editloop.evaluation.answers.cases import session_digests
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
    protocol: Protocol, folder: Path, digests: Mapping[str, str | None], lights: LightPictures
) -> Truths:
    """Read the cases with these ids and digests in a data set; an error is the `problem`."""
    if not digests:
        return Truths()
    try:
        return Truths(dict(_truths(protocol, folder, digests, lights)))
    except EditLoopError as error:
        return Truths(problem=f"{error.cause}: {folder}")


def _truths(
    protocol: Protocol, folder: Path, digests: Mapping[str, str | None], lights: LightPictures
) -> Iterator[tuple[str, Truth]]:
    layout = open_layout(protocol.data.layout, folder, reading=None, **protocol.data.options)
    make = partial(_of_session, digests=digests, lights=lights)
    for found in prefetched(make, layout.find(digests), cores()):
        yield from found


def _of_session(
    session: Sequence[EditSample], digests: Mapping[str, str | None], lights: LightPictures
) -> list[tuple[str, Truth]]:
    found: list[tuple[str, Truth]] = []
    for at, (sample, digest) in enumerate(zip(session, session_digests(session), strict=True)):
        if sample.id in digests:
            if digests[sample.id] != digest:
                raise ChangedError("the data are not those that were evaluated", value=sample.id)
            found.append((sample.id, _truth(session[: at + 1], lights)))
    return found


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
