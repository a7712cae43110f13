"""Faults: what goes wrong in a generator's edit, with known kind and severity.

Three families, named as the perspectives they hurt. A sample has at most one fault of each. Most
faults are *systematic*, as a real generator's are: the first kind of a family takes
`DOMINANT_SHARE` of its faults, with one direction, one pattern and, mostly, one severity. At the
default rate of 0.6 a dominant preserving or quality fault is thus in half of all samples, so that
training with an L1 loss, which learns a median, shows it instead of hiding it.

Severity runs over (0, 1]; 1 is where the truth judge's score reaches 0. `nothing` is always 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from editloop.darkroom import damage
from editloop.darkroom.language.reward_words import describe
from editloop.schema import PERSPECTIVES, EditType, Json, Mask, Pixels

__all__ = [
    "DIFFICULTY",
    "DOMINANT_SHARE",
    "KINDS",
    "Fault",
    "FaultKind",
    "Occasion",
    "Truth",
    "apply_faults",
    "draw_faults",
    "fault_from_json",
    "fault_to_json",
    "possible_kinds",
]

# The share of a family's faults that are its first kind that can happen.
DOMINANT_SHARE = {"following": 0.7, "preserving": 0.85, "quality": 0.85}
# How often following fails, relative to the rate: generators carry out edits of the whole picture
# more readily than those of its parts. The mean over the seven types is 1.
DIFFICULTY = dict.fromkeys(EditType, 1.13) | {EditType.GLOBAL: 0.6, EditType.BACKGROUND: 0.75}
TYPICAL_SHARE = 0.85  # of a kind's faults have its typical severity, the rest spread


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that went wrong: `family` is a perspective's name, `text` says it in words."""

    family: str
    kind: str
    severity: float
    text: str


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """A perfect edit, and what a generator might have made instead.

    `wrong` maps "attribute" (the same operation with another parameter) and "object" (done to or
    with another object) to renders. A key is absent where the operation has no such thing, and a
    render is only looked up when its fault was drawn, so a lazy mapping saves the work.
    """

    source: Pixels
    target: Pixels
    mask: Mask
    wrong: Mapping[str, Pixels] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Occasion:
    """What can go wrong in an edit: its type, what it is about, and the wrong renders it has.

    `whole` says that the mask is all white: nothing is outside it (`regions.is_whole`).
    """

    edit_type: EditType
    subject: str | None = None
    whole: bool = False
    wrong: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class FaultKind:
    """A kind of fault: its usual severity, the range of the others, and where it can happen."""

    family: str
    name: str
    typical: float
    spread: tuple[float, float]
    needs_outside: bool = False  # a region that must not change, or that region's edge
    needs_wrong: str | None = None  # this render of `Truth.wrong`


# The first kind of a family that can happen dominates it. It is one that a small network picks up
# from its data within a hundred steps, as a cast, a shift and a filter are; blocks take it hundreds
# more, and noise it never repeats. Where nothing is outside the mask, a preserving fault disturbs
# the layout (shift, zoom): colour is what such an edit may change.
KINDS: dict[str, FaultKind] = {
    kind.name: kind
    for kind in (
        FaultKind("following", "nothing", 1.0, (1.0, 1.0)),
        FaultKind("following", "half_strength", 0.5, (0.3, 0.7)),
        FaultKind("following", "wrong_attribute", 0.9, (0.6, 1.0), needs_wrong="attribute"),
        FaultKind("following", "wrong_object", 0.9, (0.6, 1.0), needs_wrong="object"),
        FaultKind("preserving", "colour_cast", 0.6, (0.2, 1.0), needs_outside=True),
        FaultKind("preserving", "shift", 0.6, (0.2, 1.0)),
        FaultKind("preserving", "zoom", 0.6, (0.2, 1.0)),
        FaultKind("preserving", "blur", 0.6, (0.2, 1.0), needs_outside=True),
        FaultKind("quality", "ringing", 0.6, (0.2, 1.0)),
        FaultKind("quality", "blocks", 0.6, (0.2, 1.0)),
        FaultKind("quality", "banding", 0.6, (0.2, 1.0)),
        FaultKind("quality", "noise", 0.6, (0.2, 1.0)),
        FaultKind("quality", "halo", 0.6, (0.2, 1.0), needs_outside=True),
    )
}


def draw_faults(rate: float, rng: np.random.Generator, occasion: Occasion) -> tuple[Fault, ...]:
    """At most one fault a family, each present with probability `rate`, independently.

    For following, the rate is scaled by the edit type's DIFFICULTY.

    Rate 0 gives clean data. The numbers drawn from `rng` do not depend on `rate`, so raising it
    adds faults and changes none.
    """
    faults = []
    for family in PERSPECTIVES:
        scale = DIFFICULTY[occasion.edit_type] if family == "following" else 1.0
        happens, fault = rng.random() < rate * scale, _draw(family, rng, occasion)
        if happens:
            faults.append(fault)
    return tuple(faults)


def _draw(family: str, rng: np.random.Generator, occasion: Occasion) -> Fault:
    dominates, picks, typical, level, words = rng.random(5)
    kind, *others = possible_kinds(family, occasion)
    if others and dominates >= DOMINANT_SHARE[family]:
        kind = others[int(picks * len(others))]
    low, high = kind.spread
    severity = kind.typical if typical < TYPICAL_SHARE else round(low + level * (high - low), 3)
    text = describe(kind.name, severity, float(words), occasion.edit_type, occasion.subject)
    return Fault(family, kind.name, severity, text)


def possible_kinds(family: str, occasion: Occasion) -> list[FaultKind]:
    """The kinds of a family that can happen in an edit, the dominant one first."""
    return [
        kind
        for kind in KINDS.values()
        if kind.family == family
        and not (kind.needs_outside and occasion.whole)
        and (kind.needs_wrong is None or kind.needs_wrong in occasion.wrong)
    ]


def apply_faults(truth: Truth, faults: Sequence[Fault], rng: np.random.Generator) -> Pixels:
    """The picture a faulty generator would have made: following, then preserving, then quality."""
    pixels = truth.target
    for fault in sorted(faults, key=lambda fault: PERSPECTIVES.index(fault.family)):
        if fault.family == "following":
            pixels = damage.blend(pixels, _instead(truth, fault.kind), fault.severity)
        elif fault.kind == "noise":
            pixels = damage.noise(pixels, fault.severity, rng)
        else:
            pixels = _DAMAGE[fault.kind](pixels, truth.mask, fault.severity)
    return pixels


def _instead(truth: Truth, kind: str) -> Pixels:
    """What a following fault of full severity shows in place of the target."""
    wrong = KINDS[kind].needs_wrong
    return truth.source if wrong is None else truth.wrong[wrong]


_DAMAGE: dict[str, Callable[[Pixels, Mask, float], Pixels]] = {
    "colour_cast": damage.colour_cast,
    "blur": damage.blur,
    "shift": damage.shift,
    "zoom": damage.zoom,
    "blocks": damage.blocks,
    "banding": damage.banding,
    "halo": damage.halo,
    "ringing": damage.ringing,
}


def fault_to_json(fault: Fault) -> dict[str, Json]:
    """A fault as a record keeps it."""
    return {
        "family": fault.family,
        "kind": fault.kind,
        "severity": fault.severity,
        "text": fault.text,
    }


def fault_from_json(record: Mapping[str, Json]) -> Fault:
    """The fault that `fault_to_json` recorded."""
    return Fault(record["family"], record["kind"], record["severity"], record["text"])
