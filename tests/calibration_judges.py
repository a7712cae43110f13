"""Judges for the tests of calibration: each is right, or wrong in one known way."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from editloop.darkroom.faults import Fault
from editloop.judges.calibration.asking import Judged
from editloop.judges.calibration.pairs import TruthFacts
from editloop.judges.pairwise import Comparison, Preference
from editloop.schema import PERSPECTIVES, EditedPair, Score, Unscored, Verdict
from editloop.settings import Settings as BaseSettings


def score(value: float) -> Score:
    return Score(value, value >= 3)


class CountingJudge:
    """A judge that checks whether anything changed, and counts the pairs it gets."""

    class Settings(BaseSettings):
        drift: float = 0.0

    name = "counting"
    perspectives = PERSPECTIVES
    shown = 0
    stops_at = -1

    def __init__(self, settings: CountingJudge.Settings) -> None:
        self._drift = settings.drift
        self.version = f"{settings.drift:g}"

    def judge(self, batch: Sequence[EditedPair]) -> list[Verdict]:
        if 0 <= CountingJudge.stops_at <= CountingJudge.shown:
            raise KeyboardInterrupt
        CountingJudge.shown += len(batch)
        return [self._verdict(pair) for pair in batch]

    def _verdict(self, pair: EditedPair) -> Verdict:
        changed = not np.array_equal(pair.source, pair.edited)
        black = not pair.edited.any()
        good = score(0.0 if black else 5.0 - self._drift)
        return {"following": score(4.0 if changed else 0.0), "preserving": good, "quality": good}


class BusyJudge(CountingJudge):
    """A judge whose server is temporarily down."""

    def judge(self, batch: Sequence[EditedPair]) -> list[Verdict]:
        CountingJudge.shown += len(batch)
        return [dict.fromkeys(PERSPECTIVES, Unscored("failed for now: no answer"))] * len(batch)


class RudeJudge(CountingJudge):
    """A judge whose name and words contain markup."""

    name = "<script>alert(1)</script>"

    def judge(self, batch: Sequence[EditedPair]) -> list[Verdict]:
        rude = Score(1.0, False, self.name)
        return [dict.fromkeys(PERSPECTIVES, rude) for _ in batch]


class TasteJudge(CountingJudge):
    """A judge of a perspective that calibration does not support."""

    perspectives = ("taste",)


class PlainJudge:
    """A judge without settings."""


class FirstPlace:
    """A pairwise judge that always prefers the first position."""

    class Settings(BaseSettings):
        pass

    name, version = "first-place", "1"
    asked = 0

    def __init__(self, settings: FirstPlace.Settings | None = None) -> None:
        del settings

    def compare(self, batch: Sequence[Comparison]) -> list[Preference | Unscored]:
        FirstPlace.asked += len(batch)
        return [Preference("tie", ("first", "second")) for _ in batch]


def facts(edit: str, *faults: Fault) -> TruthFacts:
    name = "-".join(fault.kind for fault in faults) or "clean"
    return TruthFacts(f"{edit}/{name}", edit, "coffee", 64, "local", tuple(faults))


def judged(
    cases: Sequence[TruthFacts], verdicts: Sequence[Verdict], *perspectives: str
) -> Judged[TruthFacts]:
    return Judged.of(cases, verdicts, perspectives or PERSPECTIVES)
