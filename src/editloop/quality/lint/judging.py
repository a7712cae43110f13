"""What only a judge finds: swapped pairs, and instructions that do not tell the edit.

The judge says whether the edit follows the instruction. Where it does not, it is asked about the
edit from the target to the source: if that one follows, the pair is swapped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from editloop.errors import RecipeError
from editloop.judges.missing_verdicts import NO_VERDICT, refuse_unfinished
from editloop.judges.samples import sample_pair
from editloop.schema import OUT_OF_FIVE, Cause, EditSample, Judge, Score, Unscored

__all__ = ["FollowingCheck"]

_FOLLOWING = "following"
_PASSES = 0.6  # of the scale, for judges that do not say yes or no: 3 of 5


class FollowingCheck:
    """Asks a judge about samples; `unscored` counts the reasons for which it could not tell."""

    def __init__(self, judge: Judge) -> None:
        if _FOLLOWING not in getattr(judge, "perspectives", ()):
            raise RecipeError(
                "this judge does not score whether an edit follows its instruction",
                value=judge.name,
                fix="use a judge with the perspective following, such as vlm:MODEL?base_url=URL",
            )
        self._judge = judge
        scales: Mapping[str, tuple[float, float]] = getattr(judge, "scales", OUT_OF_FIVE)
        self._low, self._high = scales[_FOLLOWING]
        self.unscored: Counter[str] = Counter()

    def problems(self, samples: Sequence[EditSample]) -> list[tuple[str, str] | None]:
        """Return each sample's problem (code, value), or None.

        Raises StepError where a verdict is missing only for now; the others are in the ledger.
        """
        there = self._scores(samples)
        failed = [at for at, score in enumerate(there) if self._fails(score)]
        back = dict(
            zip(failed, self._scores([_swapped(samples[at]) for at in failed]), strict=True)
        )
        found: list[tuple[str, str] | None] = []
        for at, score in enumerate(there):
            if isinstance(score, Unscored):
                self.unscored[score.reason] += 1
            found.append(self._problem(score, back[at]) if at in back else None)
        return found

    def _problem(self, there: Score | Unscored, back: Score | Unscored) -> tuple[str, str]:
        assert isinstance(there, Score)
        if isinstance(back, Score) and not self._fails(back):
            return "swapped", f"{back.value:g} from target to source, {there.value:g} as it is"
        words = f": {there.text}" if there.text else ""
        return "unfit-instruction", f"{there.value:g} of {self._high:g}{words}"

    def _fails(self, score: Score | Unscored) -> bool:
        """Return whether an edit does not follow; one that is unscored may."""
        if isinstance(score, Unscored):
            return False
        if score.passed is not None:
            return not score.passed
        return score.value < self._low + _PASSES * (self._high - self._low)

    def _scores(self, samples: Sequence[EditSample]) -> list[Score | Unscored]:
        made = [sample_pair(sample) for sample in samples]
        pairs = [each.pair for each in made if each.pair is not None]
        verdicts = self._judge.judge(pairs) if pairs else []
        refuse_unfinished(verdicts)
        given = iter(verdicts)
        return [
            Unscored(each.reason, cause=Cause.MISSING_INPUT)
            if each.pair is None
            else next(given).get(_FOLLOWING, NO_VERDICT)
            for each in made
        ]


def _swapped(sample: EditSample) -> EditSample:
    """Return the sample with source and target exchanged, with their captions."""
    return replace(
        sample,
        source=sample.target,
        target=sample.source,
        source_caption=sample.target_caption,
        target_caption=sample.source_caption,
    )
