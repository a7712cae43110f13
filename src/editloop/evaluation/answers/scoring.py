"""Measure the edits of one chunk: every picture is read once, whatever asks for it.

Each answer is measured against the true source and target of its turn, so what went wrong in one
turn of a session still counts in the next.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa

from editloop.errors import CorruptError, ImageError, StepError
from editloop.evaluation.answers.cases import Sequences
from editloop.evaluation.answers.running import INDEPENDENT, ITERATIVE, Decode
from editloop.images import content_hash, decode_mask, resize
from editloop.judges.verdicts import may_pass_later
from editloop.schema import (
    Captions,
    EditedPair,
    EditSample,
    Image,
    Json,
    Mask,
    Pixels,
    Score,
    Unscored,
)

__all__ = ["NUMBERS", "Measuring", "measure_chunk"]

_NUMBER = pa.struct(
    [
        ("name", pa.string()),
        ("value", pa.float64()),
        ("reason", pa.string()),
        ("text", pa.string()),
    ]
)
NUMBERS = pa.schema([("numbers", pa.list_(_NUMBER))])  # a row for each row of the edits

_AT = {INDEPENDENT: "", ITERATIVE: "@iterative"}  # tells two edits of one case apart
_EMPTY: Pixels = np.empty((0, 0, 3), np.uint8)


class Measuring(Protocol):
    """What takes numbers of edited pairs; `needs` names the fields of EditedPair it reads."""

    @property
    def names(self) -> tuple[str, ...]: ...

    @property
    def parameters(self) -> Mapping[str, Json]:
        """What the numbers depend on, besides the pictures."""
        ...

    @property
    def needs(self) -> frozenset[str]: ...

    def measure(self, batch: Sequence[EditedPair]) -> list[dict[str, Score | Unscored]]: ...


def measure_chunk(
    sequences: Sequences, edits: Sequence[Json], measuring: Measuring, decode: Decode
) -> pa.Table:
    """The numbers of a chunk's edits (rows of schema EDITS), row by row: a table of NUMBERS.

    What was not edited has no numbers, and never a zero.
    """
    samples = {(each.id, each.turn): each for sequence in sequences for each in sequence}
    pairs = _Pairs(measuring.needs, decode)
    made = [pairs.of(samples[row["id"], row["turn"]], row) for row in edits]
    whole = [each for each in made if isinstance(each, EditedPair)]
    found = measuring.measure(whole) if whole else []
    _refuse_unfinished(found)
    measured = iter(found)
    rows = [
        next(measured)
        if isinstance(each, EditedPair)
        else dict.fromkeys(measuring.names, Unscored(each))
        for each in made
    ]
    return pa.Table.from_pylist([{"numbers": _numbers(row)} for row in rows], schema=NUMBERS)


def _refuse_unfinished(found: Sequence[Mapping[str, Score | Unscored]]) -> None:
    """Numbers that may come yet are not kept as missing; what a judge answered is in its ledger."""
    reasons = [
        score.reason
        for numbers in found
        for score in numbers.values()
        if isinstance(score, Unscored) and may_pass_later(score)
    ]
    if reasons:
        raise StepError(
            "some verdicts are not in yet",
            value=f"{len(reasons)} of this chunk, the first: {reasons[0]}",
            fix="run the same command again: what was answered is not asked again",
        )


class _Pairs:
    """Makes pairs of a chunk; a picture that several pairs share is decoded once."""

    def __init__(self, needs: frozenset[str], decode: Decode) -> None:
        self._needs = needs
        self._decode = decode
        self._pixels: dict[int | str, Pixels] = {}
        self._masks: dict[int, Mask] = {}

    def of(self, sample: EditSample, row: Json) -> EditedPair | str:
        """The pair of an edit, or why there is none."""
        if row["unedited"] is not None:
            return f"unedited: {row['unedited']}"
        try:
            edited = self._edited(row)
        except ImageError as error:
            return f"its picture cannot be read: {error.cause}"
        source = self._picture("source", sample.source)
        target = self._picture("target", sample.target)
        return EditedPair(
            id=sample.id if sample.turn == 1 else f"{sample.id}{_AT[row['setting']]}",
            source=_EMPTY if source is None else source,
            instruction=sample.instruction,
            edited=edited,
            target=target,
            mask=self._mask(sample.mask, source if target is None else target),
            captions=Captions(sample.source_caption, sample.target_caption),
            edit_type=sample.edit_type,
        )

    def _edited(self, row: Json) -> Pixels:
        key = row["sha256"]
        if key not in self._pixels:
            self._pixels[key] = self._decode(row["edited"] or _read(Path(row["path"]), key))
        return self._pixels[key]

    def _picture(self, name: str, image: Image | None) -> Pixels | None:
        if image is None or name not in self._needs:
            return None
        if id(image) not in self._pixels:
            self._pixels[id(image)] = self._decode(image.bytes)
        return self._pixels[id(image)]

    def _mask(self, image: Image | None, picture: Pixels | None) -> Mask | None:
        """The mask in the size of the picture that an edit is compared with."""
        if image is None or "mask" not in self._needs:
            return None
        if id(image) not in self._masks:
            self._masks[id(image)] = decode_mask(image.bytes)
        mask = self._masks[id(image)]
        return mask if picture is None else resize(mask, *picture.shape[:2])


def _read(path: Path, sha256: str) -> bytes:
    data = path.read_bytes()
    if content_hash(data) != sha256:
        raise CorruptError(
            "a picture changed while it was evaluated",
            value=path,
            fix="leave the folder alone, and run again",
        )
    return data


def _numbers(scores: Mapping[str, Score | Unscored]) -> list[Json]:
    return [_number(name, score) for name, score in sorted(scores.items())]


def _number(name: str, score: Score | Unscored) -> Json:
    if isinstance(score, Unscored):
        return {"name": name, "value": None, "reason": score.reason, "text": None}
    return {"name": name, "value": score.value, "reason": None, "text": score.text}
