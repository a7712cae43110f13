"""What lint looks for: codes, their meaning and their repair."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["MEANINGS", "NEEDS_A_MODEL", "REPAIRS", "Code", "Finding", "Repair", "finding"]

Code = Literal[
    "unchanged",
    "shifted",
    "zoomed",
    "aspect",
    "outside-mask",
    "mask-empty",
    "mask-inverted",
    "same-captions",
    "placeholder",
    "duplicate",
    "near-duplicate",
    "contaminated",
    "small",
    "cut-instruction",
    "unreadable",
    "faulty",
]
Repair = Literal["align", "paste-back", "invert-mask", "drop-mask", "drop-captions", "drop"]

MEANINGS: dict[str, str] = {
    "unchanged": "the target is the source, but for compression or coding noise",
    "shifted": "the target is shifted against the source",
    "zoomed": "the target is zoomed against the source",
    "aspect": "the target has another aspect ratio than the source, or is stretched",
    "outside-mask": "the target differs from the source outside of the mask",
    "mask-empty": "the mask allows no pixel",
    "mask-inverted": "only what the mask does not allow was edited",
    "same-captions": "the captions of source and target are equal",
    "placeholder": "a text is a placeholder",
    "duplicate": "the same source, target and instruction as another sample",
    "near-duplicate": "nearly the same source, target and instruction as another sample",
    "contaminated": "an instruction or a picture of a test set",
    "small": "a picture is too small",
    "cut-instruction": "the instruction is cut off",
    "unreadable": "a picture cannot be read",
    "faulty": "the sample cannot be used",
}
REPAIRS: dict[str, Repair] = {
    "shifted": "align",
    "zoomed": "align",
    "aspect": "drop",
    "outside-mask": "paste-back",
    "mask-empty": "drop-mask",
    "mask-inverted": "invert-mask",
    "same-captions": "drop-captions",
    **dict.fromkeys(
        (
            "unchanged",
            "placeholder",
            "duplicate",
            "near-duplicate",
            "contaminated",
            "small",
            "cut-instruction",
            "unreadable",
            "faulty",
        ),
        "drop",
    ),
}
# Codes that only a judge or CLIP can find.
NEEDS_A_MODEL = ("swapped", "unfit-instruction")


@dataclass(frozen=True, slots=True)
class Finding:
    """A defect of a sample: its id, the code, what was found in words, and the repair."""

    id: str
    code: Code
    message: str
    repair: Repair


def finding(id: str, code: Code, found: str) -> Finding:
    """Return the finding of a code; `found` adds the measured value to its meaning."""
    message = f"{MEANINGS[code]}: {found}" if found else MEANINGS[code]
    return Finding(id, code, message, REPAIRS[code])
