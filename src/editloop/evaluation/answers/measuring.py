"""Measure the edits of one chunk; each picture is decoded once and shared by all measures.

Each answer is measured against the true source and target of its turn, so an error in one turn of
a session still counts in the next.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Protocol, TypeAlias

import numpy as np
import pyarrow as pa

from editloop.editors.requests import mask_for
from editloop.errors import CorruptError, ImageError
from editloop.evaluation.answers.asking import INDEPENDENT, ITERATIVE, Decode
from editloop.evaluation.answers.cases import Sequences
from editloop.images.codec import content_hash, decode_mask
from editloop.judges.missing_verdicts import refuse_unfinished
from editloop.kernel.resources import Resources
from editloop.metrics.metric_set import Numbers
from editloop.runtime.machine import cores
from editloop.schema import (
    Captions,
    Cause,
    EditedPair,
    EditSample,
    Image,
    Json,
    Mask,
    Pixels,
    Score,
    Unscored,
)
from editloop.sources.taxonomies import own_kind

__all__ = ["NUMBERS", "Measuring", "measure_chunk"]

_NUMBER = pa.struct(
    [("name", pa.string()), ("value", pa.float64()), ("reason", pa.string()), ("text", pa.string())]
)
NUMBERS = pa.schema([("numbers", pa.list_(_NUMBER))])  # one row per row of the edits

_AT = {INDEPENDENT: "", ITERATIVE: "@iterative"}  # id suffixes of the two edits of a case
_EMPTY: Pixels = np.empty((0, 0, 3), np.uint8)
_Edit: TypeAlias = tuple[EditSample, Json]  # a sample and its row of the edits


class Measuring(Protocol):
    """A set of measures of edited pairs; `needs` names the fields of EditedPair that it reads."""

    @property
    def names(self) -> tuple[str, ...]: ...

    @property
    def parameters(self) -> Mapping[str, Json]:
        """Everything that the numbers depend on, besides the pictures."""
        ...

    @property
    def needs(self) -> frozenset[str]: ...

    @property
    def at_once(self) -> int | None:
        """The number of pairs measured together; None means a whole chunk."""
        ...

    @property
    def resources(self) -> Resources:
        """The resources of a worker that measures; with `network`, this process measures."""
        ...

    @property
    def counts(self) -> Mapping[str, int]:
        """The numbers of pictures and texts that were encoded or found encoded so far."""
        ...

    def begin(self, batch: Sequence[EditedPair]) -> Callable[[], Numbers]:
        """Start measuring; return a function that returns the numbers of each pair.

        The pairs may be freed before that function is called.
        """
        ...


def measure_chunk(
    sequences: Sequences, edits: Sequence[Json], measuring: Measuring, decode: Decode
) -> pa.Table:
    """Measure a chunk's edits (rows of schema EDITS); return a table of schema NUMBERS, row by row.

    A case without an edit is unscored, never 0.
    """
    with ThreadPoolExecutor(cores()) as pool:
        begun = [
            _begun(_Pairs(measuring.needs, decode, pool).all(group), measuring)
            for group in _groups(sequences, edits, measuring.at_once)
        ]
    found = [numbers for each in begun for numbers in each()]
    refuse_unfinished(found)
    return pa.Table.from_pylist([{"numbers": _numbers(each)} for each in found], schema=NUMBERS)


def _groups(
    sequences: Sequences, edits: Sequence[Json], at_once: int | None
) -> Iterator[list[_Edit]]:
    """Yield groups of edits with their samples: whole sequences, at least `at_once` edits each."""
    coming, group = iter(edits), list[_Edit]()
    count = Counter(row["id"] for row in edits)
    for sequence in sequences:
        samples = {(each.id, each.turn): each for each in sequence}
        rows = islice(coming, sum(count[id] for id in {each.id for each in sequence}))
        group += [(samples[row["id"], row["turn"]], row) for row in rows]
        if at_once is not None and len(group) >= at_once:
            yield group
            group = []
    if group:
        yield group


def _begun(made: Sequence[EditedPair | str], measuring: Measuring) -> Callable[[], Numbers]:
    """Start measuring the pairs; an entry that is a reason (str) is unscored with that reason."""
    whole = [each for each in made if isinstance(each, EditedPair)]
    reasons = [each if isinstance(each, str) else None for each in made]
    begun = measuring.begin(whole) if whole else list[dict[str, Score | Unscored]]

    def finished() -> Numbers:
        measured = iter(begun())
        return [
            next(measured)
            if reason is None
            else dict.fromkeys(measuring.names, Unscored(reason, cause=Cause.MISSING_INPUT))
            for reason in reasons
        ]

    return finished


class _Pairs:
    """Build the pairs of some edits; a picture that several pairs share is decoded once."""

    def __init__(self, needs: frozenset[str], decode: Decode, pool: Executor) -> None:
        self._needs = needs
        self._decode = decode
        self._pool = pool
        self._pixels: dict[int | str, Future[Pixels]] = {}
        self._masks: dict[tuple[int, tuple[int, ...]], Mask | str] = {}

    def all(self, edits: Sequence[_Edit]) -> list[EditedPair | str]:
        """Return each edit's pair, or the reason why it has none; decode pictures in parallel."""
        for sample, row in edits:
            if row["unedited"] is None:
                self._edited(row)
                self._picture("source", sample.source)
                self._picture("target", sample.target)
        return [self._of(sample, row) for sample, row in edits]

    def _of(self, sample: EditSample, row: Json) -> EditedPair | str:
        """Return the pair of an edit, or the reason why it has none."""
        if row["unedited"] is not None:
            return f"unedited: {row['unedited']}"
        try:
            edited = self._edited(row).result()
        except ImageError as error:
            return f"its picture cannot be read: {error.cause}"
        try:
            source = _pixels(self._picture("source", sample.source))
            target = _pixels(self._picture("target", sample.target))
        except ImageError as error:
            raise error.of(sample.id) from error
        mask = self._mask(sample.mask, source if target is None else target)
        if isinstance(mask, str):
            return mask
        return EditedPair(
            id=sample.id if sample.turn == 1 else f"{sample.id}{_AT[row['setting']]}",
            source=_EMPTY if source is None else source,
            instruction=sample.instruction,
            edited=edited,
            target=target,
            mask=mask,
            captions=Captions(sample.source_caption, sample.target_caption),
            edit_type=sample.edit_type,
            group=own_kind(sample),
        )

    def _edited(self, row: Json) -> Future[Pixels]:
        key = row["sha256"]
        if key not in self._pixels:
            self._pixels[key] = self._pool.submit(self._read, row)
        return self._pixels[key]

    def _picture(self, name: str, image: Image | None) -> Future[Pixels] | None:
        if image is None or name not in self._needs:
            return None
        if id(image) not in self._pixels:
            self._pixels[id(image)] = self._pool.submit(self._decode, image.bytes)
        return self._pixels[id(image)]

    def _read(self, row: Json) -> Pixels:
        return self._decode(row["edited"] or _unchanged(Path(row["path"]), row["sha256"]))

    def _mask(self, image: Image | None, picture: Pixels | None) -> Mask | str | None:
        """Return the mask in the size of the picture that the edit is compared with.

        A text is the reason why the mask does not fit the picture.
        """
        if image is None or "mask" not in self._needs:
            return None
        if picture is None:
            return decode_mask(image.bytes)
        key = id(image), picture.shape
        if key not in self._masks:
            self._masks[key] = mask_for(image.bytes, picture.shape[:2])
        return self._masks[key]


def _pixels(picture: Future[Pixels] | None) -> Pixels | None:
    return None if picture is None else picture.result()


def _unchanged(path: Path, sha256: str) -> bytes:
    data = path.read_bytes()
    if content_hash(data) != sha256:
        raise CorruptError(
            "a picture changed during the evaluation",
            value=path,
            fix="do not change the folder during a run; run again",
        )
    return data


def _numbers(scores: Mapping[str, Score | Unscored]) -> list[Json]:
    return [_number(name, score) for name, score in sorted(scores.items())]


def _number(name: str, score: Score | Unscored) -> Json:
    if isinstance(score, Unscored):
        return {"name": name, "value": None, "reason": score.reason, "text": None}
    return {"name": name, "value": score.value, "reason": None, "text": score.text}
