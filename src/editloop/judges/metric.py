"""The judge `metric`: scores from pixel measures, without a model or a target.

It can judge only this:

- following: whether anything changed inside the mask. That is necessary for an edit but does not
  prove it, since the instruction is not read. With a mask that is all black it is unscored.
- preserving: what changed outside the mask (L1, SSIM), and whether the picture moved. With a mask
  that allows everything, only whether it moved. Without a mask it is unscored.
- quality: artefacts outside the mask, halos, blocks, banding, an empty picture; not the content
  inside the mask. If everything may change and the edit adds details of its own (a drawing, snow),
  artefacts cannot be told from them and quality is unscored.

A measure costs nothing up to where it is noticeable and the whole score where it ruins the picture,
and is linear in between (`_RAMPS`). A perspective's score is that of its worst measure. The limits
were fixed on training-type pairs of the darkroom (five scenes, other crops than any benchmark's),
before any held-out pair was judged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from editloop.darkroom.rewards import PASSING
from editloop.images.masks import NOWHERE, is_nowhere
from editloop.judges.findings import Findings, find
from editloop.metrics.geometry import resized_to
from editloop.schema import (
    CLEAN_TEXT,
    OUT_OF_FIVE,
    PERSPECTIVES,
    Cause,
    EditedPair,
    Score,
    Unscored,
    Verdict,
)
from editloop.settings import Settings as BaseSettings

__all__ = ["VERSION", "MetricJudge"]

VERSION = "metric-2"

_SMALLEST = 32  # pixels; smaller pictures are not compared
_SLIGHT = 0.1  # severities below this, half a point, are not mentioned in words
_STRANGE = 0.5  # below it may be another photo; 1% of unrelated photos are above
_BLURRED = 0.3  # if details are less alike than this, motion cannot be measured
_OWN = 7.0  # levels; without an outside, stronger details may be the edit's own

_RAMPS: dict[str, tuple[float, float]] = {
    "unchanged": (14.0, 4.0),  # levels; see `Findings` for each
    "shift": (0.0, 0.05 * 2**0.5),
    "zoom": (0.0, 0.25),
    "l1": (2.0, 20.0),
    "ssim": (0.9, 0.4),
    "artefacts": (0.5, 6.5),
    "halo": (3.0, 42.0),
    "blocks": (0.6, 2.3),
    "banding": (4.0, 25.0),
    "empty": (0.2, 0.05),
}
_TEXTS = {
    "unchanged": "the edit was not executed, or hardly shows",
    "other": "this is another picture",
    "shift": "the whole picture moved",
    "zoom": "the picture was cropped and enlarged",
    "l1": "unintended change of colours outside the edit",
    "ssim": "unintended change of details outside the edit",
    "artefacts": "artefacts over the picture",
    "halo": "a halo around the edit",
    "blocks": "compression blocks",
    "banding": "banding, smooth areas show steps",
    "empty": "the picture is empty",
}
_UNKNOWN = Unscored(
    "too little of the source is left to compare it with", VERSION, Cause.NOT_MEASURABLE
)
_NOTHING = Unscored(NOWHERE, VERSION, Cause.NOT_MEASURABLE)


class MetricJudge:
    """A judge by measures of source, edited picture and mask; unscored where they cannot tell."""

    class Settings(BaseSettings):
        """No settings."""

    name = "metric"
    version = VERSION
    perspectives = PERSPECTIVES
    scales = OUT_OF_FIVE

    def __init__(self, settings: MetricJudge.Settings | None = None) -> None:
        del settings  # there is nothing to set

    def judge(self, batch: Sequence[EditedPair]) -> list[Verdict]:
        """Return one verdict for each pair; edited pictures are resized to the source's size."""
        return [_verdict(pair) for pair in batch]


def _verdict(pair: EditedPair) -> Verdict:
    size = pair.source.shape[:2]
    if min(size) < _SMALLEST:
        return _none(f"a picture of {size[1]}x{size[0]} px is too small to judge")
    if pair.mask is not None and pair.mask.shape != size:
        return _none(f"the mask's size is not the source's {size[1]}x{size[0]} px")
    found = find(pair.source, resized_to(pair.edited, size), pair.mask)
    return {
        "following": _NOTHING if is_nowhere(pair.mask) else _following(found),
        "preserving": _preserving(found, pair.mask is not None),
        "quality": _quality(found),
    }


def _following(found: Findings) -> Score | Unscored:
    if found.alike >= _STRANGE:
        return _score(_graded(unchanged=found.changed, empty=found.contrast))
    if found.l1 is None:
        return _unknown(found)
    return _score({"other": 1.0})


def _preserving(found: Findings, masked: bool) -> Score | Unscored:
    if not masked:
        return Unscored(
            "without a mask it is not known what had to stay", VERSION, Cause.MISSING_INPUT
        )
    moved = _graded(shift=found.shift, zoom=found.zoom)
    if found.l1 is not None and found.ssim is not None:
        return _score({**moved, **_graded(l1=found.l1, ssim=found.ssim)})
    if found.alike < _STRANGE or found.layout < _BLURRED:
        return _unknown(found)
    return _score(moved)


def _quality(found: Findings) -> Score | Unscored:
    seen = _graded(blocks=found.blocks, banding=found.banding, empty=found.contrast)
    if found.l1 is None and found.artefacts > _OWN:
        if max(seen.values()) >= 1:
            return _score(seen)
        return Unscored(
            "artefacts cannot be told from the edit's own details", VERSION, Cause.NOT_MEASURABLE
        )
    seen |= _graded(artefacts=found.artefacts)
    return _score(seen if found.halo is None else {**seen, **_graded(halo=found.halo)})


def _unknown(found: Findings) -> Score | Unscored:
    """Return the score of an empty picture; Unscored for any other, which cannot be compared."""
    empty = _graded(empty=found.contrast)
    return _score(empty) if empty["empty"] >= 1 else _UNKNOWN


def _graded(**amounts: float) -> dict[str, float]:
    """Return severities: 0 if not noticeable, 1 if it ruins the picture, linear in between."""
    return {
        name: min(1.0, max(0.0, (amount - _RAMPS[name][0]) / (_RAMPS[name][1] - _RAMPS[name][0])))
        for name, amount in amounts.items()
    }


def _score(severities: Mapping[str, float]) -> Score:
    worst = max(severities, key=lambda name: severities[name])
    value = 5 * (1 - severities[worst])
    text = CLEAN_TEXT if severities[worst] < _SLIGHT else _TEXTS[worst]
    return Score(value, value >= PASSING, text, VERSION)


def _none(reason: str) -> Verdict:
    return dict.fromkeys(PERSPECTIVES, Unscored(reason, VERSION, Cause.NOT_MEASURABLE))
