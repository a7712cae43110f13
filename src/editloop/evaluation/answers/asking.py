"""Send one chunk of cases to an editor and return its answers as a table.

Single edits and sessions are handled alike: turn by turn, in batches. In the *iterative* setting
the source of a later turn is the editor's own previous picture, at the size that the editor made it
in; in the *independent* setting it is the true picture after the previous turn. The first turn is
the same in both and requested once.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TypeAlias, TypeVar

import pyarrow as pa

from editloop.editors.requests import UNSEEN, check_answers, mask_for, sees
from editloop.editors.sessions import UnscaledEditor, edit_unscaled, scaled_back
from editloop.errors import FailureClass, ImageError, StepError
from editloop.evaluation.answers.cases import Sequences
from editloop.images.codec import content_hash, decode, encode_png
from editloop.images.masks import NOWHERE, is_nowhere
from editloop.runtime.seeding import derive_seed
from editloop.schema import Captions, Editor, EditRequest, EditSample, Json, Pixels, Unedited

__all__ = [
    "EDITS",
    "INDEPENDENT",
    "ITERATIVE",
    "Clock",
    "Decode",
    "EditingSettings",
    "edit_chunk",
    "settings_of",
]

INDEPENDENT, ITERATIVE = "independent", "iterative"

Decode: TypeAlias = Callable[[bytes], Pixels]
_Answer: TypeAlias = Pixels | Unedited
_Item = TypeVar("_Item")
_Row: TypeAlias = tuple[int, int, str]  # sequence, turn from 0, setting

EDITS = pa.schema(
    [
        ("id", pa.string()),
        ("turn", pa.int32()),
        ("setting", pa.string()),
        ("edited", pa.binary()),  # PNG; null where the picture is the file, or there is none
        ("path", pa.string()),  # of a picture that was made elsewhere
        ("sha256", pa.string()),  # of the picture's bytes; null where `unedited` says why
        ("unedited", pa.string()),
        ("note", pa.string()),  # what is unusual about a picture that was made elsewhere
    ]
)


@dataclass(frozen=True, slots=True)
class EditingSettings:
    """Settings of the requests to editors; each of them may change the answers.

    Each case has a seed of its own, derived from `seed`, or `seed` itself if it is `shared_seed`.
    `unscaled` answers keep the editor's working size; others are scaled to the size of the case's
    source. `editing` holds the protocol's editing settings; an editor's own settings take
    precedence. `recorded` is what is read of a picture that was made elsewhere
    (`Protocol.recorded`).
    """

    seed: int
    batch: int
    with_mask: bool = False
    settings: tuple[str, ...] = (ITERATIVE,)
    shared_seed: bool = False
    unscaled: bool = False
    editing: Mapping[str, Json] = field(default_factory=dict)
    recorded: str = "whole"


@dataclass(slots=True)
class Clock:
    """The number of new edits and measurements, the seconds spent on them, and encoder calls."""

    edits: int = 0
    edit_seconds: float = 0.0
    measured: int = 0
    measure_seconds: float = 0.0
    encodes: Counter[str] = field(default_factory=Counter)

    def add(self, other: Clock) -> None:
        """Add the counts and seconds of another clock."""
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))

    @property
    def facts(self) -> dict[str, Json]:
        """The counts and seconds; the encoder calls are not among them."""
        return {
            each.name: getattr(self, each.name) for each in fields(self) if each.name != "encodes"
        }


@dataclass(frozen=True, slots=True, eq=False)
class _CaseTurn:
    """One case to edit; `source` is the picture to start from, or the reason why there is none.

    `size` is the height and width of the case, which a `fitted` source, made by the editor at its
    working size, need not have.
    """

    sample: EditSample
    setting: str
    source: _Answer
    size: tuple[int, ...]
    fitted: bool = False


def settings_of(turn: int, settings: Sequence[str]) -> Sequence[str]:
    """Return the settings in which a turn (from 0) is edited; the first is the same in all."""
    return settings if turn else (INDEPENDENT,)


def edit_chunk(
    editor: Editor, sequences: Sequences, asking: EditingSettings, clock: Clock, decode: Decode
) -> pa.Table:
    """Return an editor's answers to a chunk as a table of schema EDITS.

    Rows are ordered by sequence, turn and setting. Raises StepError where the editor returns a
    wrong number of answers, something other than a picture, or a picture of another size than the
    request's, unless it is an `UnscaledEditor`; and where an edit could not be had for now, so that
    the next run asks for it again and it does not count as unedited.
    """
    most = max(asking.batch, getattr(editor, "in_flight", 1))
    own: dict[int, _CaseTurn] = {}  # the last picture of each sequence, for the iterative setting
    rows: dict[_Row, Json] = {}
    for index in range(max(map(len, sequences))):
        for group in _batches(_asked(sequences, index, asking), most):
            turns = [_turn(sequences[at][index], way, own.get(at), decode) for at, _, way in group]
            for row, turn, answer in zip(
                group, turns, _ask(editor, turns, asking, clock), strict=True
            ):
                if index == 0 or turn.setting == ITERATIVE:
                    fitted = isinstance(editor, UnscaledEditor)
                    own[row[0]] = replace(turn, source=answer, fitted=fitted)
                kept = answer if asking.unscaled else _scaled(editor, turn, answer, asking, decode)
                rows[row] = _edited_row(turn, kept)
    return pa.Table.from_pylist([rows[key] for key in sorted(rows)], schema=EDITS)


def _asked(sequences: Sequences, index: int, asking: EditingSettings) -> list[_Row]:
    return [
        (at, index, setting)
        for at, sequence in enumerate(sequences)
        if index < len(sequence)
        for setting in settings_of(index, asking.settings)
    ]


def _batches(items: Sequence[_Item], size: int) -> Iterator[Sequence[_Item]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _turn(sample: EditSample, setting: str, own: _CaseTurn | None, decode: Decode) -> _CaseTurn:
    if setting == ITERATIVE and own is not None:
        return replace(own, sample=sample, setting=setting)
    try:
        source = decode(sample.source_image.bytes)
    except ImageError as error:
        raise error.of(sample.id) from error
    return _CaseTurn(sample, setting, source, source.shape[:2])


def _ask(
    editor: Editor, turns: Sequence[_CaseTurn], asking: EditingSettings, clock: Clock
) -> list[_Answer]:
    """Return the editor's answers; a turn that cannot be edited is not sent to the editor."""
    made = [
        _request(turn, asking) if sees(editor, turn.sample.references) else Unedited(UNSEEN)
        for turn in turns
    ]
    requests = [each for each in made if isinstance(each, EditRequest)]
    began = time.perf_counter()
    answers = edit_unscaled(editor, requests) if requests else []
    clock.edit_seconds += time.perf_counter() - began
    clock.edits += len(requests)
    check_answers(editor, requests, answers, any_size=isinstance(editor, UnscaledEditor))
    _refuse_passing_failures(editor, answers)
    coming = iter(answers)
    return [each if isinstance(each, Unedited) else next(coming) for each in made]


def _refuse_passing_failures(editor: Editor, answers: Sequence[_Answer]) -> None:
    failed = [
        each
        for each in answers
        if isinstance(each, Unedited) and each.failure is FailureClass.TRANSIENT
    ]
    if failed:
        raise StepError(
            f"{editor.name} made no picture for {len(failed)} of {len(answers)} cases, for now",
            value=failed[0].reason,
            fix="run the same command again: pictures that were made are kept, and paid once",
        )


def _scaled(
    editor: Editor, turn: _CaseTurn, answer: _Answer, asking: EditingSettings, decode: Decode
) -> _Answer:
    """Return an answer at the size of the case's source."""
    if isinstance(answer, Unedited) or not isinstance(editor, UnscaledEditor):
        return answer
    source = decode(turn.sample.source_image.bytes)
    request = _request(replace(turn, source=source, fitted=False), asking)
    return request if isinstance(request, Unedited) else scaled_back(editor, answer, request)


def _request(turn: _CaseTurn, asking: EditingSettings) -> EditRequest | Unedited:
    """Return the request for a turn, or the reason why it cannot be edited."""
    sample, source = turn.sample, turn.source
    if isinstance(source, Unedited):
        return Unedited("the turn before was not edited")
    mask = None
    if asking.with_mask and sample.mask is not None:
        mask = mask_for(sample.mask.bytes, turn.size)
    if isinstance(mask, str):
        return Unedited(mask)
    if is_nowhere(mask):
        return Unedited(NOWHERE)
    seed = asking.seed
    if not asking.shared_seed:
        seed = derive_seed(asking.seed, "edit", sample.id, sample.turn)
    return EditRequest(
        id=sample.id,
        image=source,
        instruction=sample.instruction,
        turn=sample.turn,
        captions=Captions(sample.source_caption, sample.target_caption),
        mask=mask,
        seed=seed,
        settings=asking.editing,
        session=sample.session,
        setting=turn.setting,
        fitted=turn.fitted,
        provenance=sample.provenance,
        references=tuple(decode(each.bytes) for each in sample.references),
    )


def _edited_row(turn: _CaseTurn, answer: _Answer) -> Json:
    row = {"id": turn.sample.id, "turn": turn.sample.turn, "setting": turn.setting}
    if isinstance(answer, Unedited):
        return {**row, "unedited": answer.reason}
    data = encode_png(answer)
    return {**row, "edited": data, "sha256": content_hash(data)}
