"""The judge `truth`: verdicts of `darkroom.truth` on pairs whose target and mask are known."""

from __future__ import annotations

from collections.abc import Sequence

from editloop.darkroom import truth
from editloop.schema import OUT_OF_FIVE, PERSPECTIVES, Cause, EditedPair, Unscored, Verdict
from editloop.settings import Settings as BaseSettings

__all__ = ["TruthJudge"]


class TruthJudge:
    """A judge that uses the known target; a pair without target or mask is unscored.

    A missing mask is not the same as one that allows everything: it leaves unknown what had to
    stay, so nothing is assumed.
    """

    class Settings(BaseSettings):
        """No settings."""

    name = "truth"
    version = truth.VERSION
    perspectives = PERSPECTIVES
    scales = OUT_OF_FIVE
    needs = frozenset({"source", "edited", "target", "mask"})

    def __init__(self, settings: TruthJudge.Settings | None = None) -> None:
        del settings  # there is nothing to set
        self._judge = truth.KnownTruthJudge()

    def judge(self, batch: Sequence[EditedPair]) -> list[Verdict]:
        """Return one verdict for each pair."""
        judged = iter(self._judge.judge([pair for pair in batch if pair.mask is not None]))
        return [_no_mask(pair) if pair.mask is None else next(judged) for pair in batch]


def _no_mask(pair: EditedPair) -> Verdict:
    reason = "no target" if pair.target is None else "no mask"
    return dict.fromkeys(PERSPECTIVES, Unscored(reason, truth.VERSION, Cause.MISSING_INPUT))
