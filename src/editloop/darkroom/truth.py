"""The truth judge: score any edited picture against a known target and mask.

It uses only pixels, never fault records, so it can also judge the outputs of models. Its formulas
are in `defects.py`. A perspective's score is 5 * (1 - severity of its worst defect), at least 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from editloop.darkroom.defects import following_defects, preserving_defects, quality_defects
from editloop.darkroom.evidence import gather
from editloop.darkroom.progress import follow
from editloop.darkroom.rewards import PASSING
from editloop.images.masks import NOWHERE, is_nowhere
from editloop.schema import CLEAN_TEXT, PERSPECTIVES, Cause, EditedPair, Score, Unscored, Verdict

__all__ = ["ENTANGLED", "VERSION", "KnownTruthJudge"]

VERSION = "truth-1"
_SLIGHT = 0.05  # a smaller severity, less than a quarter of a point, gets no text
_SMALLEST = 8  # pixels; smaller pictures cannot be judged

# Fault kinds that, when strong, cost another perspective more than half a point in over a tenth of
# all cases, and why that cannot be avoided.
ENTANGLED: Mapping[tuple[str, str], str] = {
    ("wrong_object", "preserving"): "the other object lies outside the mask",
    ("wrong_object", "quality"): "another object has edges that no known picture explains",
    ("wrong_attribute", "preserving"): "a wrong move or size leaves the mask; a wrong style may "
    "hide the photo",
    ("wrong_attribute", "quality"): "another texture or style has details of its own",
    ("blocks", "following"): "an edit that is all details, such as more contrast, loses them",
    ("blur", "quality"): "a strong blur that does not bleed over the mask's edge is no plain "
    "filter of the source, and what it leaves looks like artefacts",
}

_TEXTS = {
    "undone": "the edit was not executed",
    "partly": "the edit was executed only in part",
    "wrong": "the edit was executed wrongly",
    "unrecognisable": "the photo cannot be recognised",
    "shift": "the whole picture moved",
    "zoom": "the picture was cropped and enlarged",
    "colours": "unintended change of colours outside the edit",
    "lost": "unintended loss of details outside the edit",
    "blur": "the edit is blurred",
    "artefacts": "artefacts over the picture",
    "halo": "a halo around the edit",
    "blocks": "compression blocks",
    "banding": "banding, smooth areas show steps",
    "empty": "the picture is empty",
}


class KnownTruthJudge:
    """A judge of following, preserving and quality by the known target and mask."""

    name = "truth"
    version = VERSION
    perspectives = PERSPECTIVES

    def judge(self, batch: Sequence[EditedPair]) -> list[Verdict]:
        """Return one verdict per pair; without a mask, everything may be edited.

        With a mask that is all black nothing may, and a target has no edit to be judged by.
        """
        return [_verdict(pair) for pair in batch]


def _verdict(pair: EditedPair) -> dict[str, Score | Unscored]:
    reason = _unfit(pair)
    if reason is not None or pair.target is None:
        return dict.fromkeys(
            PERSPECTIVES, Unscored(reason or "no target", VERSION, Cause.MISSING_INPUT)
        )
    if is_nowhere(pair.mask):
        return dict.fromkeys(PERSPECTIVES, Unscored(NOWHERE, VERSION, Cause.NOT_MEASURABLE))
    mask = _everywhere(pair) if pair.mask is None else pair.mask
    seen = gather(pair.source, pair.target, pair.edited, mask)
    went = follow(seen)
    following: Score | Unscored = Unscored(
        "the edit cannot be seen in the target", VERSION, Cause.NOT_MEASURABLE
    )
    if went.visible:
        following = _score(following_defects(seen, went))
    return {
        "following": following,
        "preserving": _score(preserving_defects(seen, went)),
        "quality": _score(quality_defects(seen, went)),
    }


def _unfit(pair: EditedPair) -> str | None:
    """Return the reason if a pair cannot be judged, else None."""
    if pair.target is None:
        return "no target"
    size = pair.source.shape
    if pair.target.shape != size:
        return f"the target's size {_size(pair.target)} is not the source's {_size(pair.source)}"
    if pair.edited.shape != size:
        return f"the edited size {_size(pair.edited)} is not the source's {_size(pair.source)}"
    if pair.mask is not None and pair.mask.shape != size[:2]:
        return f"the mask's size {_size(pair.mask)} is not the source's {_size(pair.source)}"
    if min(size[:2]) < _SMALLEST:
        return f"a picture of {_size(pair.source)} is too small to judge"
    return None


def _size(image: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> str:
    return f"{image.shape[1]}x{image.shape[0]}"


def _everywhere(pair: EditedPair) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    return np.full(pair.source.shape[:2], 255, np.uint8)


def _score(defects: Mapping[str, float]) -> Score:
    worst = max(defects, key=lambda defect: defects[defect])
    value = 5 * max(0.0, 1 - defects[worst])
    text = CLEAN_TEXT if defects[worst] < _SLIGHT else _TEXTS[worst]
    return Score(value, value >= PASSING, text, VERSION)
