"""Synthetic faults of an edit, as a generator makes them, with known kind and severity.

There are three families, named after the perspectives that they affect; a sample has at most one
fault of each. Most faults are *systematic*, like a real generator's: the first kind of a family has
`DOMINANT_SHARE` of its faults, always with the same direction and pattern, and mostly with the same
severity. At the default rate of 0.6 a dominant preserving or quality fault is in half of all
samples, so that training with an L1 loss, which learns a median, reproduces it.

Severity is in (0, 1]; at 1 the truth judge's score reaches 0. `nothing` always has severity 1.
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

# The share of a family's faults that are of its first possible kind.
DOMINANT_SHARE = {"following": 0.7, "preserving": 0.85, "quality": 0.85}
# The frequency of following faults relative to the rate: generators are better at edits of the
# whole picture than at local ones. The mean over the seven types is 1.
DIFFICULTY = dict.fromkeys(EditType, 1.13) | {EditType.GLOBAL: 0.6, EditType.BACKGROUND: 0.75}
TYPICAL_SHARE = 0.85  # of a kind's faults have its typical severity, the rest a random one


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault: `family` is a perspective's name, `text` describes the fault."""

    family: str
    kind: str
    severity: float
    text: str


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """A perfect edit, and plausible wrong edits.

    `wrong` maps "attribute" (the same operation with another parameter) and "object" (the same
    operation on or with another object) to renders. A key is missing if the operation has no such
    variant. A render is only looked up when its fault was drawn, so a lazy mapping saves work.
    """

    source: Pixels
    target: Pixels
    mask: Mask
    wrong: Mapping[str, Pixels] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Occasion:
    """The facts that decide which faults an edit can have: its type, subject and wrong renders.

    `whole` means that nothing is outside the mask (`regions.is_whole`).
    """

    edit_type: EditType
    subject: str | None = None
    whole: bool = False
    wrong: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class FaultKind:
    """A kind of fault: its typical severity, the range of the others, and its requirements."""

    family: str
    name: str
    typical: float
    spread: tuple[float, float]
    needs_outside: bool = False  # needs a region that must not change, or that region's edge
    needs_wrong: str | None = None  # needs this render of `Truth.wrong`


# The first possible kind of a family dominates it. A small network learns it from its data within a
# hundred steps, as it does a colour cast, a shift or a filter; blocks take hundreds of steps more,
# and noise is never reproduced. If nothing is outside the mask, a preserving fault changes the
# layout (shift, zoom), because such an edit may change colours.
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
    """Draw at most one fault per family, each with probability `rate`, independently.

    For following, the rate is scaled by the edit type's DIFFICULTY. Rate 0 gives clean data. The
    numbers drawn from `rng` do not depend on `rate`, so a higher rate adds faults without changing
    the others.
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
    """Return the kinds of a family that are possible in an edit, the dominant one first."""
    return [
        kind
        for kind in KINDS.values()
        if kind.family == family
        and not (kind.needs_outside and occasion.whole)
        and (kind.needs_wrong is None or kind.needs_wrong in occasion.wrong)
    ]


def apply_faults(truth: Truth, faults: Sequence[Fault], rng: np.random.Generator) -> Pixels:
    """Return the target with faults applied: following, then preserving, then quality."""
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
    """Return the picture that replaces the target in a following fault of full severity."""
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
    """Return a fault as JSON for a record."""
    return {
        "family": fault.family,
        "kind": fault.kind,
        "severity": fault.severity,
        "text": fault.text,
    }


def fault_from_json(record: Mapping[str, Json]) -> Fault:
    """Return the fault that `fault_to_json` wrote."""
    return Fault(record["family"], record["kind"], record["severity"], record["text"])
