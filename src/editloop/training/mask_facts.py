"""The masks of training data: how many there are, and which allow editing nowhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from pydantic import Field

from editloop.errors import ImageError, TrainingError
from editloop.images.codec import decode_mask
from editloop.images.masks import NOWHERE, MaskReading, MaskSettings
from editloop.runtime.machine import cores
from editloop.runtime.prefetching import prefetched
from editloop.schema import Json
from editloop.training.rows import PublishedRows

__all__ = ["MaskFacts", "TrainingMasks", "check_masks", "mask_facts"]

_LISTED = 3  # ids in an error


class TrainingMasks(MaskSettings):
    """Settings of a training's masks."""

    black_masks: Literal["refuse", "drop"] = Field(
        default="refuse",
        description="edits whose mask is all black, so that nothing may change: refuse the data, "
        "or drop them",
    )


@dataclass(frozen=True, slots=True)
class MaskFacts:
    """The number of samples, of those with a mask, and the samples (number, id) with a black one.

    They are facts of data that is trained on with a mask; `black` is dropped or refused.
    """

    samples: int
    masked: int
    black: tuple[tuple[int, str], ...]

    @property
    def numbers(self) -> tuple[int, ...]:
        """The numbers of the samples with a black mask."""
        return tuple(number for number, _ in self.black)

    def to_json(self) -> dict[str, Json]:
        """Return the facts for results and card, with the dropped samples by reason."""
        dropped = {"dropped": {NOWHERE: len(self.black)}} if self.black else {}
        return {"masked": self.masked, "masked_of": self.samples, **dropped}


def mask_facts(rows: PublishedRows, reading: MaskReading) -> MaskFacts:
    """Read every mask of some rows once, and no other picture.

    Raises ImageError, with the sample's id, for a mask that cannot be read.
    """
    return _facts(rows, reading, tuple(path.stat().st_mtime_ns for path in rows.paths))


@lru_cache(maxsize=4)
def _facts(rows: PublishedRows, reading: MaskReading, _changed: tuple[int, ...]) -> MaskFacts:
    def is_black(sample: tuple[str, bytes | None]) -> tuple[str, bool | None]:
        name, mask = sample
        try:
            return name, None if mask is None else not decode_mask(mask, reading=reading).any()
        except ImageError as error:
            cause = f"{error.cause}: {error.value}"
            raise ImageError(error.code, cause, value=name, fix=error.fix) from error

    masked, black = 0, list[tuple[int, str]]()
    for number, (name, nowhere) in enumerate(prefetched(is_black, rows.masks(), cores())):
        masked += nowhere is not None
        if nowhere:
            black.append((number, name))
    return MaskFacts(len(rows), masked, tuple(black))


def check_masks(
    splits: Mapping[str, PublishedRows], first: str, settings: TrainingMasks
) -> dict[str, MaskFacts]:
    """Return the facts of each split's masks after checking that they can be trained on.

    Raises TrainingError if no sample of the split `first` has a mask, and for black masks that are
    not to be dropped.
    """
    found = {name: mask_facts(rows, settings.mask_reading) for name, rows in splits.items()}
    if not found[first].masked:
        raise TrainingError(
            "no sample of the training data has a mask",
            value=f"{first}: {found[first].samples} samples",
            fix="leave `mask` out of `conditions`, or train on data with masks",
        )
    for name, facts in found.items():
        if facts.black and settings.black_masks == "refuse":
            raise TrainingError(
                "samples have a mask that is all black: nothing may change in them",
                value=f"{len(facts.black)} of {facts.samples} in {name}: {_ids(facts.black)}",
                fix="drop them with --drop-black-masks (black_masks: drop), or swap all masks with "
                "--invert-mask (invert_mask: true)",
            )
        if facts.samples and len(facts.black) == facts.samples:
            raise TrainingError(
                "all masks are black: no sample is left",
                value=name,
                fix="swap them with --invert-mask (invert_mask: true), or use other data",
            )
    return found


def _ids(black: Sequence[tuple[int, str]]) -> str:
    more = f" and {len(black) - _LISTED} more" if len(black) > _LISTED else ""
    return ", ".join(name for _, name in black[:_LISTED]) + more
