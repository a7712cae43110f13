"""Samples of a data set with their pictures and rewards, for pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from editloop.images.codec import decode, decode_mask
from editloop.schema import PERSPECTIVES, EditSample, Score
from editloop.showing.survey import find_samples
from editloop.showing.thumbnails import Picture, exact

__all__ = ["Reward", "Triplet", "edit_type_of", "stored_picture", "triplet", "triplets"]


@dataclass(frozen=True, slots=True)
class Reward:
    """One perspective's reward of a sample."""

    name: str
    value: float | None
    text: str


@dataclass(frozen=True, slots=True)
class Triplet:
    """A sample of the data: instruction, source, target, mask and rewards."""

    id: str
    instruction: str
    edit_type: str
    pictures: Sequence[Picture]
    rewards: Sequence[Reward]


def triplets(data: Path, split: str, ids: Sequence[str]) -> list[Triplet]:
    """Return the samples with these ids, in their order."""
    found = find_samples(data, split, ids)
    return [triplet(found[name]) for name in ids if name in found]


def triplet(sample: EditSample) -> Triplet:
    """Return a sample that has a source, with its pictures made small."""
    pictures = [
        stored_picture("source", sample.source_image.bytes, f"source of “{sample.instruction}”")
    ]
    if sample.target is not None:
        pictures.append(
            stored_picture("target", sample.target.bytes, f"after “{sample.instruction}”")
        )
    if sample.mask is not None:
        mask = decode_mask(sample.mask.bytes)
        pictures.append(exact("mask", mask, "white where editing is allowed"))
    return Triplet(
        id=sample.id,
        instruction=sample.instruction,
        edit_type=edit_type_of(sample),
        pictures=pictures,
        rewards=[_reward(name, sample) for name in PERSPECTIVES if name in sample.scores],
    )


def _reward(name: str, sample: EditSample) -> Reward:
    score = sample.scores[name]
    if isinstance(score, Score):
        return Reward(name, score.value, score.text or "")
    return Reward(name, None, f"unscored: {score.reason}")


def edit_type_of(sample: EditSample) -> str:
    return sample.edit_type.value if sample.edit_type else "edit"


def stored_picture(name: str, data: bytes, alt: str) -> Picture:
    return exact(name, decode(data), alt)
