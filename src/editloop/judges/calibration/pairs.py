"""Pairs with recorded faults: each edit without a fault, with single faults, and with several.

The records are the truth. Kinds alternate within a family, and so do the three severities of each
kind: the ends and the middle of its spread. None lies on the border between yes and no.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from editloop.darkroom.develop import faulty
from editloop.darkroom.faults import KINDS, Fault, FaultKind, Occasion, possible_kinds
from editloop.darkroom.language.reward_words import describe
from editloop.darkroom.rewards import rewards
from editloop.judges.calibration.edits import HeldOutEdit, HeldOutEdits
from editloop.judges.calibration.scales import SCALES
from editloop.runtime.seeding import generator
from editloop.schema import PERSPECTIVES, EditedPair, EditType

__all__ = ["LEVELS", "SIZES", "VARIANTS", "TruthFacts", "TruthPair", "TruthPairs", "level_of"]

SIZES = (64, 128, 256)
LEVELS = ("slight", "middle", "strong")
VARIANTS = 8  # of each edit: no fault, two single faults of each of three families, a mixture
_SINGLES = 2
_MIXED = 0.5  # probability that a mixture has a fault of a family


@dataclass(frozen=True, slots=True)
class TruthFacts:
    """The origin of a pair, and its faults."""

    id: str
    edit: str
    scene: str
    size: int
    edit_type: str
    faults: tuple[Fault, ...]

    @property
    def single(self) -> Fault | None:
        """The only fault, or None if there is none or more than one."""
        return self.faults[0] if len(self.faults) == 1 else None

    def points(self, perspective: str) -> float:
        """Return the recorded score in points of 100: the worst of the perspective's families."""
        return min(20 * self._scores[family] for family in SCALES[perspective].families)

    def passes(self, perspective: str) -> bool:
        """Return whether the recorded verdict is yes."""
        made = rewards(self.faults)
        return all(made[family].passed for family in SCALES[perspective].families)

    @property
    def _scores(self) -> dict[str, float]:
        return {family: score.value for family, score in rewards(self.faults).items()}


@dataclass(frozen=True, slots=True, eq=False)
class TruthPair:
    """A pair to judge, with its facts."""

    pair: EditedPair
    facts: TruthFacts


class TruthPairs:
    """The pairs of the first `edits` edits of a seed, each made on access."""

    def __init__(self, seed: int, edits: int, sizes: tuple[int, ...] = SIZES) -> None:
        self._edits = HeldOutEdits(seed, edits, sizes)
        self._last: tuple[HeldOutEdit, list[tuple[Fault, ...]]] | None = None

    def __len__(self) -> int:
        return len(self._edits) * VARIANTS

    def __getitem__(self, index: int) -> TruthPair:
        edit, plan = self._planned(index // VARIANTS)
        variant = index % VARIANTS
        return _made(edit, plan[variant], mixed=variant == VARIANTS - 1)

    def _planned(self, index: int) -> tuple[HeldOutEdit, list[tuple[Fault, ...]]]:
        """Return an edit and its variants' faults; the last edit is cached for the next call."""
        if self._last is None or self._last[0].index != index:
            edit = self._edits[index]
            self._last = edit, _plan(edit)
        return self._last


def level_of(fault: Fault) -> str:
    """Return the level of a severity in its kind's spread; strong if the kind has only one."""
    low, high = KINDS[fault.kind].spread
    share = (fault.severity - low) / (high - low) if high > low else 1.0
    return LEVELS[round(share * (len(LEVELS) - 1))]


def _made(edit: HeldOutEdit, faults: tuple[Fault, ...], *, mixed: bool) -> TruthPair:
    variant = "mixed" if mixed else "-".join(_named(fault) for fault in faults) or "clean"
    edited = faulty(edit.rendered, faults, edit.wrong, edit.seed) if faults else None
    pair = edit.pair(variant, edit.rendered.target if edited is None else edited)
    edit_type = edit.turn.edit_type.value
    facts = TruthFacts(pair.id, edit.name, edit.scene, edit.size, edit_type, faults)
    return TruthPair(pair, facts)


def _named(fault: Fault) -> str:
    return f"{fault.kind}-{fault.severity:g}"


def _plan(edit: HeldOutEdit) -> list[tuple[Fault, ...]]:
    """Return the faults of each variant of an edit."""
    rng, occasion = generator(edit.seed, "faults"), edit.occasion
    kinds = {family: possible_kinds(family, occasion) for family in PERSPECTIVES}
    turn, start = divmod(edit.index, len(EditType))
    plan: list[tuple[Fault, ...]] = [()]
    for possible in kinds.values():
        for at in range(turn * _SINGLES, (turn + 1) * _SINGLES):
            level = at // len(possible) + start
            plan.append((_fault(possible[at % len(possible)], level, occasion, rng),))
    mixture = []
    for possible in kinds.values():
        happens, kind = rng.random() < _MIXED, possible[int(rng.integers(len(possible)))]
        fault = _fault(kind, int(rng.integers(len(LEVELS))), occasion, rng)
        mixture += [fault] if happens else []
    return [*plan, tuple(mixture)]


def _fault(kind: FaultKind, level: int, occasion: Occasion, rng: np.random.Generator) -> Fault:
    low, high = kind.spread
    severity = round(low + level % len(LEVELS) * (high - low) / (len(LEVELS) - 1), 3)
    choice = float(rng.random())
    text = describe(kind.name, severity, choice, occasion.edit_type, occasion.subject)
    return Fault(kind.family, kind.name, severity, text)
