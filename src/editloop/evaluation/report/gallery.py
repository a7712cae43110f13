"""The report's pictures: sample triplets with their rewards, and what every editor made."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from editloop.evaluation.report.rundata import CaseRow, choose, find_samples
from editloop.evaluation.showing.thumbnails import Picture, exact
from editloop.images.codec import decode, decode_mask
from editloop.schema import PERSPECTIVES, EditSample, Score
from editloop.storage.files import explained

__all__ = ["Card", "Reward", "Triplet", "Turn", "cards", "triplets"]


@dataclass(frozen=True, slots=True)
class Reward:
    """One perspective's reward of a sample."""

    name: str
    value: float | None
    text: str


@dataclass(frozen=True, slots=True)
class Triplet:
    """A sample of the data: source, target, mask, what was asked, and how it was rewarded."""

    id: str
    instruction: str
    edit_type: str
    pictures: Sequence[Picture]
    rewards: Sequence[Reward]


@dataclass(frozen=True, slots=True)
class Turn:
    """One edit: the true source and target, then what the editors made.

    `earlier` are the instructions that the picture had to follow before this one.
    """

    instruction: str
    edit_type: str
    pictures: Sequence[Picture]
    earlier: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Card:
    """A case, or a session: turn by turn what was asked, its pictures, then every editor's.

    `note` says by which number it was chosen.
    """

    id: str
    turns: Sequence[Turn]
    note: str = ""


def triplets(data: Path, split: str, ids: Sequence[str]) -> list[Triplet]:
    """The samples of these ids, in their order."""
    found = find_samples(data, split, ids)
    return [_triplet(found[name]) for name in ids if name in found]


def _triplet(sample: EditSample) -> Triplet:
    pictures = [_stored("source", sample.source.bytes, f"source of “{sample.instruction}”")]
    if sample.target is not None:
        pictures.append(_stored("target", sample.target.bytes, f"after “{sample.instruction}”"))
    if sample.mask is not None:
        mask = decode_mask(sample.mask.bytes)
        pictures.append(exact("mask", mask, "white where editing is allowed"))
    return Triplet(
        id=sample.id,
        instruction=sample.instruction,
        edit_type=_type(sample),
        pictures=pictures,
        rewards=[_reward(name, sample) for name in PERSPECTIVES if name in sample.scores],
    )


def _reward(name: str, sample: EditSample) -> Reward:
    score = sample.scores[name]
    if isinstance(score, Score):
        return Reward(name, score.value, score.text or "")
    return Reward(name, None, f"unscored: {score.reason}")


def cards(run: Path, rows: Sequence[CaseRow], editors: Sequence[str], count: int) -> list[Card]:
    """`count` cases of one benchmark with every editor's answer, chosen by lot over the types."""
    groups: dict[str, dict[str, dict[str, CaseRow]]] = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        groups[row.session or row.id][row.id][row.editor] = row
    types = {row.session or row.id: row.edit_type for row in rows if row.turn == 1}
    chosen = choose(types, count)
    ids = [name for group in chosen for name in groups[group]]
    samples = find_samples(run / "data", "heldout", ids)
    return [
        Card(
            group,
            [
                _turn(samples[name], answers, editors)
                for name, answers in groups[group].items()
                if name in samples
            ],
        )
        for group in chosen
    ]


def _turn(sample: EditSample, answers: Mapping[str, CaseRow], editors: Sequence[str]) -> Turn:
    pictures = [_stored("source", sample.source.bytes, "the source")]
    if sample.target is not None:
        pictures.append(_stored("target", sample.target.bytes, "the known target"))
    pictures += [_answer(editor, answers[editor]) for editor in editors if editor in answers]
    return Turn(sample.instruction, _type(sample), pictures)


def _type(sample: EditSample) -> str:
    return sample.edit_type.value if sample.edit_type else "edit"


def _answer(editor: str, row: CaseRow) -> Picture:
    if row.picture is None:
        return Picture(editor, f"{editor} made no picture", reason=row.unedited, passed=row.passed)
    with explained("read an edited picture", row.picture):
        data = row.picture.read_bytes()
    shown = _stored(editor, data, f"“{row.instruction}” by {editor}")
    return replace(shown, passed=row.passed)


def _stored(name: str, data: bytes, alt: str) -> Picture:
    return exact(name, decode(data), alt)
