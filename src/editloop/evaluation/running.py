"""Ask an editor for one chunk of cases, measure its answers, and make them a table.

Single edits and sessions are asked alike: turn by turn, in batches, where the source of a later
turn is the editor's own previous picture. Each answer is measured against the true source and
target of its turn, so what went wrong in one turn still counts in the next.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import numpy as np
import pyarrow as pa

from editloop.errors import StepError
from editloop.evaluation.cases import Sequences
from editloop.evaluation.measuring import Measures
from editloop.images import decode, decode_mask, encode_png
from editloop.schema import (
    Captions,
    EditedPair,
    Editor,
    EditRequest,
    EditSample,
    Json,
    Mask,
    Pixels,
    Score,
    Unedited,
    Unscored,
)
from editloop.seeding import derive_seed

__all__ = ["ANSWERS", "Asking", "Clock", "run_chunk"]

_Answer: TypeAlias = Pixels | Unedited
_Item = TypeVar("_Item")

_NUMBER = pa.struct(
    [
        ("name", pa.string()),
        ("value", pa.float64()),
        ("reason", pa.string()),
        ("text", pa.string()),
    ]
)
ANSWERS = pa.schema(
    [
        ("id", pa.string()),
        ("turn", pa.int32()),
        ("edited", pa.binary()),  # PNG; null where `unedited` says why
        ("unedited", pa.string()),
        ("numbers", pa.list_(_NUMBER)),
    ]
)


@dataclass(frozen=True, slots=True)
class Asking:
    """How editors are asked: all of it may change their answers."""

    seed: int
    batch: int
    with_mask: bool


@dataclass(slots=True)
class Clock:
    """Seconds spent on new edits and on measuring them."""

    edits: int = 0
    edit_seconds: float = 0.0
    measure_seconds: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class _Turn:
    """One case with its pictures; `source` is what came before, or why there is nothing."""

    sample: EditSample
    mask: Mask | None
    source: _Answer


def run_chunk(
    editor: Editor, sequences: Sequences, measures: Measures, asking: Asking, clock: Clock
) -> pa.Table:
    """One editor's answers to a chunk, in the chunk's order: a table of schema ANSWERS."""
    last: list[_Answer] = [decode(sequence[0].source.bytes) for sequence in sequences]
    rows: dict[tuple[int, int], Json] = {}
    for index in range(max(map(len, sequences))):
        asked = [at for at, sequence in enumerate(sequences) if index < len(sequence)]
        for group in _batches(asked, asking.batch):
            turns = [_turn(sequences[at][index], last[at]) for at in group]
            answers = _ask(editor, turns, asking, clock)
            numbers = _measure(measures, turns, answers, clock)
            for at, turn, answer, found in zip(group, turns, answers, numbers, strict=True):
                last[at] = answer
                rows[at, index] = _row(turn.sample, answer, found)
    return pa.Table.from_pylist([rows[key] for key in sorted(rows)], schema=ANSWERS)


def _batches(items: Sequence[_Item], size: int) -> Iterator[Sequence[_Item]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _turn(sample: EditSample, source: _Answer) -> _Turn:
    mask = None if sample.mask is None else decode_mask(sample.mask.bytes)
    return _Turn(sample, mask, source)


def _ask(editor: Editor, turns: Sequence[_Turn], asking: Asking, clock: Clock) -> list[_Answer]:
    """The editor's answers; a turn whose previous turn has no picture cannot be asked."""
    requests = [
        _request(turn.sample, turn.source, turn.mask if asking.with_mask else None, asking.seed)
        for turn in turns
        if not isinstance(turn.source, Unedited)
    ]
    began = time.perf_counter()
    answers = editor.edit(requests) if requests else []
    clock.edit_seconds += time.perf_counter() - began
    clock.edits += len(requests)
    _check(editor, requests, answers)
    coming = iter(answers)
    missing = Unedited("the turn before was not edited")
    return [missing if isinstance(turn.source, Unedited) else next(coming) for turn in turns]


def _request(sample: EditSample, source: Pixels, mask: Mask | None, seed: int) -> EditRequest:
    return EditRequest(
        id=sample.id,
        image=source,
        instruction=sample.instruction,
        turn=sample.turn,
        captions=Captions(sample.source_caption, sample.target_caption),
        mask=mask,
        seed=derive_seed(seed, "edit", sample.id, sample.turn),
        provenance=sample.provenance,
    )


def _check(editor: Editor, requests: Sequence[EditRequest], answers: Sequence[_Answer]) -> None:
    if len(answers) != len(requests):
        raise StepError(
            f"editor {editor.name} lost or added answers",
            value=f"{len(answers)} answers to {len(requests)} requests",
            fix="answer each request with a picture or Unedited",
        )
    for request, answer in zip(requests, answers, strict=True):
        if isinstance(answer, Unedited):
            continue
        if answer.dtype != np.uint8 or answer.shape != request.image.shape:
            raise StepError(
                f"editor {editor.name} answered {request.id} in another geometry",
                value=f"{answer.dtype} {answer.shape} instead of uint8 {request.image.shape}",
                fix="return uint8 pixels of the request's size",
            )


def _measure(
    measures: Measures, turns: Sequence[_Turn], answers: Sequence[_Answer], clock: Clock
) -> list[dict[str, Score | Unscored]]:
    """The numbers of each answer; an unedited case has none, and never a zero."""
    pairs = [
        _pair(turn, answer)
        for turn, answer in zip(turns, answers, strict=True)
        if not isinstance(answer, Unedited)
    ]
    began = time.perf_counter()
    measured = iter(measures.measure(pairs) if pairs else [])
    clock.measure_seconds += time.perf_counter() - began
    return [
        dict.fromkeys(measures.names, Unscored(f"unedited: {answer.reason}"))
        if isinstance(answer, Unedited)
        else next(measured)
        for answer in answers
    ]


def _pair(turn: _Turn, edited: Pixels) -> EditedPair:
    sample = turn.sample
    return EditedPair(
        id=sample.id,
        source=decode(sample.source.bytes),
        instruction=sample.instruction,
        edited=edited,
        target=None if sample.target is None else decode(sample.target.bytes),
        mask=turn.mask,
        captions=Captions(sample.source_caption, sample.target_caption),
        edit_type=sample.edit_type,
    )


def _row(sample: EditSample, answer: _Answer, numbers: dict[str, Score | Unscored]) -> Json:
    return {
        "id": sample.id,
        "turn": sample.turn,
        "edited": None if isinstance(answer, Unedited) else encode_png(answer),
        "unedited": answer.reason if isinstance(answer, Unedited) else None,
        "numbers": [_number(name, score) for name, score in sorted(numbers.items())],
    }


def _number(name: str, score: Score | Unscored) -> Json:
    if isinstance(score, Unscored):
        return {"name": name, "value": None, "reason": score.reason, "text": None}
    return {"name": name, "value": score.value, "reason": None, "text": score.text}
