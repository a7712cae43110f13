"""The cases to edit, in chunks of fixed order that are identified by their content.

A case is one edit: a single edit, or one turn of a session. A chunk never splits a session. Where
its pictures are read, perhaps in a worker, its content is compared with the chunk's digests.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol, TypeAlias, TypeVar

from editloop.errors import ChangedError
from editloop.images.codec import content_hash
from editloop.images.hashes import picture_hashes
from editloop.schema import EditSample, EditType, Json, canonical_json
from editloop.sources.taxonomies import own_kind
from editloop.storage.records import fingerprint
from editloop.storage.samples import to_row

__all__ = [
    "SESSIONS",
    "SINGLE_TURN",
    "Case",
    "Chunk",
    "ReadCases",
    "Sequences",
    "Unread",
    "UnreadCases",
    "cases_of",
    "grouped",
    "kind_of",
    "read_chunks",
    "session_digests",
    "without_pictures",
]

SINGLE_TURN, SESSIONS = "single-turn", "sessions"

Sequences: TypeAlias = list[list[EditSample]]  # each a single edit, or a session's turns in order
_Sequence = TypeVar("_Sequence")


@dataclass(frozen=True, slots=True)
class Case:
    """One edit to make, without its pictures.

    `last` is true for the last turn of a session and for a single edit; `group` is the data set's
    own kind of edit. `digest` is that of its session up to this turn (`session_digests`).
    """

    id: str
    session: str | None
    turn: int
    last: bool
    edit_type: EditType | None
    group: str | None
    photo: str | None
    instruction: str
    digest: str


@dataclass(frozen=True, slots=True)
class Chunk:
    """A fixed group of cases; a sequence's digest changes when any of its content changes."""

    kind: str
    index: int
    digests: tuple[str, ...]
    cases: tuple[Case, ...]

    @property
    def digest(self) -> str:
        """The digest of all sequences."""
        return fingerprint(list(self.digests))


class Unread(Protocol):
    """A sequence whose pictures are not read yet."""

    def read(self) -> list[EditSample]: ...


@dataclass(frozen=True, slots=True)
class ReadCases:
    """The sequences of a chunk, in memory."""

    sequences: Sequences

    def read(self) -> Sequences:
        """Return the sequences."""
        return self.sequences


@dataclass(frozen=True, slots=True)
class UnreadCases:
    """The sequences of a chunk, to be read in a worker."""

    digests: tuple[str, ...]
    sequences: tuple[Unread, ...]

    def read(self) -> Sequences:
        """Read the sequences; ChangedError if their content is not that of the digests."""
        read = [each.read() for each in self.sequences]
        if tuple(map(_digest, read)) != self.digests:
            raise ChangedError(
                "the data changed during the evaluation",
                value=read[0][0].id,
                fix="do not change the folder during a run; run again",
            )
        return read


def read_chunks(
    samples: Iterable[EditSample], size: int, left_out: Counter[str] | None = None
) -> Iterator[tuple[Chunk, Sequences]]:
    """Stream `samples` as chunks of `size` single edits or sessions, in their order.

    A turn whose earlier turns are missing cannot be edited; it is counted in `left_out` by reason.
    """
    sequences = _sequences(samples, Counter() if left_out is None else left_out)
    for kind, index, group in grouped(sequences, size, kind_of):
        yield Chunk(kind, index, *cases_of(group)), group
        del group


def grouped(
    sequences: Iterable[_Sequence], size: int, kind: Callable[[_Sequence], str]
) -> Iterator[tuple[str, int, list[_Sequence]]]:
    """Yield groups of `size` sequences of one kind, in their order, with their kind and number.

    A yielded group is not kept here: a caller that drops it before reading the next never has the
    pictures of two groups in memory.
    """
    waiting: dict[str, list[_Sequence]] = defaultdict(list)
    made: Counter[str] = Counter()
    for sequence in sequences:
        name = kind(sequence)
        waiting[name].append(sequence)
        if len(waiting[name]) == size:
            full = waiting.pop(name)
            yield name, made[name], full
            del full, sequence
            made[name] += 1
    for name, rest in waiting.items():
        yield name, made[name], rest


def cases_of(sequences: Sequences) -> tuple[tuple[str, ...], tuple[Case, ...]]:
    """Return the digests and the cases of a chunk."""
    cases = tuple(
        _case(sample, digest, last=sample is sequence[-1])
        for sequence in sequences
        for sample, digest in zip(sequence, session_digests(sequence), strict=True)
    )
    return tuple(map(_digest, sequences)), cases


def without_pictures(read: Iterable[tuple[Chunk, ReadCases]]) -> Iterator[Chunk]:
    """Yield the chunks alone; each chunk's pictures are freed before the next is read."""
    for chunk, cases in read:
        del cases
        yield chunk


def kind_of(sequence: Sequence[EditSample]) -> str:
    """Return the kind of a sequence: SINGLE_TURN or SESSIONS."""
    return SINGLE_TURN if sequence[0].session is None else SESSIONS


def _sequences(samples: Iterable[EditSample], left_out: Counter[str]) -> Iterator[list[EditSample]]:
    for session, turns in groupby(samples, key=lambda sample: sample.session):
        if session is None:
            yield from ([turn] for turn in turns)
        elif whole := _whole(turns, left_out):
            yield whole


def _whole(turns: Iterable[EditSample], left_out: Counter[str]) -> list[EditSample]:
    """Return a session's turns 1, 2, ... up to the first missing one; count the rest."""
    ordered = sorted(turns, key=lambda sample: sample.turn)
    kept = [sample for at, sample in enumerate(ordered, start=1) if sample.turn == at]
    if len(kept) < len(ordered):
        left_out["an earlier turn of the session is missing"] += len(ordered) - len(kept)
    return kept


def _case(sample: EditSample, digest: str, *, last: bool) -> Case:
    made = sample.provenance
    uri = None if made is None else made.source_uri
    return Case(
        id=sample.id,
        session=sample.session,
        turn=sample.turn,
        last=last,
        edit_type=sample.edit_type,
        group=own_kind(sample),
        photo=None if uri is None else uri.partition(":")[2] or uri,
        instruction=sample.instruction,
        digest=digest,
    )


def session_digests(sequence: Sequence[EditSample]) -> list[str]:
    """Return, for each turn, the digest of a session's instructions and pictures up to it.

    Masks do not enter it: they depend on how they are read.
    """
    hashed = picture_hashes()
    shown = [
        [
            sample.id,
            sample.instruction,
            *map(hashed, (sample.source, sample.target, *sample.references)),
        ]
        for sample in sequence
    ]
    return [_hash(shown[:turns]) for turns in range(1, len(shown) + 1)]


def _digest(sequence: Sequence[EditSample]) -> str:
    """Return the digest of a sequence's content; the location of its files does not enter it."""
    hashed = picture_hashes()
    rows: list[Json] = []
    for sample in sequence:
        row = to_row(sample)
        for name in ("source", "target", "mask"):
            row[name] = hashed(getattr(sample, name))
        if sample.references:
            row["references"] = list(map(hashed, sample.references))
        if row["provenance"] is not None:
            row["provenance"].pop("source_uri")
        rows.append(row)
    return _hash(rows)


def _hash(content: Json) -> str:
    return content_hash(canonical_json(content).encode("utf-8", "surrogatepass"))
