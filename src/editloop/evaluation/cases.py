"""The held-out cases, in chunks that are fixed in order and told apart by their content.

A case is one edit. Single edits stand alone; the turns of a session follow one another, and a chunk
never cuts a session.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TypeAlias

from editloop.images import content_hash
from editloop.schema import EditSample, EditType, canonical_json, to_row

__all__ = ["SESSIONS", "SINGLE_TURN", "Case", "Chunk", "Sequences", "read_chunks"]

SINGLE_TURN, SESSIONS = "single-turn", "sessions"

Sequences: TypeAlias = list[list[EditSample]]  # each a single edit, or a session's turns in order


@dataclass(frozen=True, slots=True)
class Case:
    """What stays in memory of one edit to make: everything but its pictures."""

    id: str
    session: str | None
    turn: int
    edit_type: EditType | None
    photo: str | None
    instruction: str


@dataclass(frozen=True, slots=True)
class Chunk:
    """A fixed run of cases; `digest` changes when any of their content does."""

    kind: str
    index: int
    digest: str
    cases: tuple[Case, ...]


def read_chunks(
    samples: Iterable[EditSample], size: int, left_out: Counter[str] | None = None
) -> Iterator[tuple[Chunk, Sequences]]:
    """Chunks of `size` single edits or sessions, in the order of `samples`, which are streamed.

    What cannot be asked (a turn whose earlier turns are missing) is counted in `left_out` by its
    reason.
    """
    counted: Counter[str] = Counter() if left_out is None else left_out
    waiting: dict[str, Sequences] = {SINGLE_TURN: [], SESSIONS: []}
    made: Counter[str] = Counter()
    for session, turns in groupby(samples, key=lambda sample: sample.session):
        kind = SINGLE_TURN if session is None else SESSIONS
        for sequence in ([turn] for turn in turns) if session is None else [_whole(turns, counted)]:
            waiting[kind] += [sequence] if sequence else []
            if len(waiting[kind]) == size:
                yield _chunk(kind, made[kind], waiting[kind]), waiting[kind]
                waiting[kind] = []
                made[kind] += 1
    for kind, sequences in waiting.items():
        if sequences:
            yield _chunk(kind, made[kind], sequences), sequences


def _whole(turns: Iterable[EditSample], left_out: Counter[str]) -> list[EditSample]:
    """A session's turns 1, 2, ... up to the first that is missing."""
    ordered = sorted(turns, key=lambda sample: sample.turn)
    kept = [sample for at, sample in enumerate(ordered, start=1) if sample.turn == at]
    if len(kept) < len(ordered):
        left_out["an earlier turn of the session is missing"] += len(ordered) - len(kept)
    return kept


def _chunk(kind: str, index: int, sequences: Sequences) -> Chunk:
    samples = [sample for sequence in sequences for sample in sequence]
    return Chunk(kind, index, _digest(samples), tuple(_case(sample) for sample in samples))


def _case(sample: EditSample) -> Case:
    uri = None if sample.provenance is None else sample.provenance.source_uri
    return Case(
        id=sample.id,
        session=sample.session,
        turn=sample.turn,
        edit_type=sample.edit_type,
        photo=None if uri is None else uri.partition(":")[2] or uri,
        instruction=sample.instruction,
    )


def _digest(samples: Sequence[EditSample]) -> str:
    digest = hashlib.sha256()
    for sample in samples:
        row = to_row(sample)
        for name in ("source", "target", "mask"):
            row[name] = None if row[name] is None else content_hash(row[name]["bytes"])
        digest.update(canonical_json(row).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()
