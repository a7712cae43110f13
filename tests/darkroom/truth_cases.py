"""Edits by every operation, on real photos, for the tests of faults and of the truth judge."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

from editloop.darkroom.develop import Wrong
from editloop.darkroom.faults import Fault, Occasion, Truth, apply_faults
from editloop.darkroom.operations import OPERATIONS
from editloop.darkroom.regions import is_whole
from editloop.darkroom.scene import Darkroom
from editloop.darkroom.sessions import draw_session
from editloop.darkroom.truth import KnownTruthJudge
from editloop.runtime.seeding import derive_seed, generator
from editloop.schema import EditedPair, EditType, Pixels, Score
from editloop.sources.scenes import photo


@dataclass(frozen=True, eq=False)
class Case:
    name: str
    operation: str
    edit_type: EditType
    truth: Truth

    @property
    def occasion(self) -> Occasion:
        whole = is_whole(self.truth.mask)
        return Occasion(self.edit_type, "thing", whole, frozenset(self.truth.wrong))


def square(scene: str, size: int) -> Pixels:
    """Return the largest centred crop of a photo."""
    pixels = photo(scene)
    height, width = pixels.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    crop = pixels[top : top + side, left : left + side]
    return np.asarray(cv2.resize(crop, (size, size), interpolation=cv2.INTER_AREA), np.uint8)


@cache
def cases(scene: str, size: int) -> tuple[Case, ...]:
    """Return one visible edit of the photo by each operation."""
    return tuple(_cases(scene, size))


def _cases(scene: str, size: int) -> Iterator[Case]:
    darkroom = Darkroom(square(scene, size))
    for name, operation in OPERATIONS.items():
        seed = derive_seed("truth", scene, size, name)
        for turn, rendered in draw_session(darkroom, (name,), 1, seed):
            wrong = dict(Wrong(darkroom, turn, seed))
            truth = Truth(rendered.source, rendered.target, rendered.mask, wrong)
            yield Case(f"{scene}-{size}-{name}", name, operation.edit_type, truth)


def faulty(case: Case, *faults: Fault) -> Pixels:
    """Return the case's target with faults."""
    return apply_faults(case.truth, faults, generator(case.name, "damage"))


def scores(case: Case, edited: Pixels) -> dict[str, Score]:
    """Return the truth judge's verdict on an edited picture; all three perspectives are scored."""
    truth = case.truth
    pair = EditedPair(case.name, truth.source, "", edited, truth.target, truth.mask)
    (verdict,) = KnownTruthJudge().judge([pair])
    assert all(isinstance(score, Score) for score in verdict.values()), verdict
    return {name: score for name, score in verdict.items() if isinstance(score, Score)}


def values(case: Case, edited: Pixels) -> dict[str, float]:
    """Return the judge's scores as numbers."""
    return {name: score.value for name, score in scores(case, edited).items()}


def quantile(numbers: Sequence[float], share: float) -> float:
    """Return the quantile `share` of the numbers."""
    return float(np.quantile(np.asarray(numbers), share))
