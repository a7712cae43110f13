"""The defects that lint looks for: codes, their meaning and their repair."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["DEFECTS", "NEEDS_A_MODEL", "Defect", "Finding", "finding"]


class Defect(NamedTuple):
    """The meaning of a code in words, and the repair."""

    meaning: str
    repair: str


DEFECTS = {
    "unchanged": Defect("the target is the source, but for compression or coding noise", "drop"),
    "shifted": Defect("the target is shifted against the source", "align"),
    "zoomed": Defect("the target is zoomed against the source", "align"),
    "aspect": Defect("the target is stretched, or has another aspect ratio", "drop"),
    "outside-mask": Defect("the target differs from the source outside of the mask", "paste-back"),
    "mask-empty": Defect("the mask allows no pixel", "drop-mask"),
    "mask-inverted": Defect("only what the mask does not allow was edited", "invert-mask"),
    "same-captions": Defect("the captions of source and target are equal", "drop-captions"),
    "placeholder": Defect("a text is a placeholder", "drop"),
    "duplicate": Defect("the same source, target and instruction as another sample", "drop"),
    "near-duplicate": Defect("nearly the source, target and instruction of another sample", "drop"),
    "contaminated": Defect("an instruction or a picture of a test set", "drop"),
    "small": Defect("a picture is too small", "drop"),
    "cut-instruction": Defect("the instruction is cut off", "drop"),
    "swapped": Defect("the instruction leads from the target to the source", "swap"),
    "unfit-instruction": Defect("the edit does not follow the instruction", "drop"),
    "unreadable": Defect("a picture cannot be read", "drop"),
    "faulty": Defect("the sample cannot be used", "drop"),
}
# Codes that only a judge or CLIP can find.
NEEDS_A_MODEL = ("swapped", "unfit-instruction")


@dataclass(frozen=True, slots=True)
class Finding:
    """A defect of a sample: its id, the code, what was found in words, and the repair."""

    id: str
    code: str
    message: str
    repair: str


def finding(id: str, code: str, found: str) -> Finding:
    """Return the finding of a code; `found` adds the measured value to its meaning."""
    meaning, repair = DEFECTS[code]
    return Finding(id, code, f"{meaning}: {found}" if found else meaning, repair)
