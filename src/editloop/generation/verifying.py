"""The step `verify`: candidates are kept, or rejected by cheap gates first and by a judge last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, get_args

from pydantic import Field

from editloop.chat.client import CostEstimate
from editloop.chat.usage import ChatUsage
from editloop.errors import FailureClass, RecipeError, known_names
from editloop.filters.problems import decoded, picture_problems
from editloop.generation.candidates import attempt
from editloop.judges.outcomes import OUTCOME, outcome_of
from editloop.judges.step import JudgeStep, JudgeStepSettings
from editloop.kernel.engines.worker import current_worker
from editloop.kernel.resources import CPU, Resources
from editloop.kernel.steps import Drop, Fail, Keep, Outcome, StepContext
from editloop.schema import Cause, EditOutcome, EditSample, Json, Score, Unscored
from editloop.settings import Settings as BaseSettings

__all__ = ["Gate", "Verify", "VerifySettings"]

Gate = Literal[
    "unchanged", "aspect", "shifted", "zoomed", "mask-empty", "outside-mask", "mask-inverted"
]


class VerifySettings(BaseSettings):
    """The gates, the judge, and the scores that it has to give."""

    judge: str | dict[str, Json] | None = Field(
        default=None, description="a judge's SPEC, or a mapping with `kind`; null: gates only"
    )
    least: dict[str, float] = Field(
        default={}, description="lowest scores that pass; the other perspectives then do not decide"
    )
    gates: tuple[Gate, ...] = Field(
        default=get_args(Gate), description="defects, named as by lint, that reject a candidate"
    )


class Verify:
    """Keep a candidate that passes all gates and the judge, with the judge's scores.

    A rejected one is dropped with a reason, and is an attempt with its picture and outcome. The
    judge sees only what passed the gates. Without `least`, every perspective has to be passed. A
    perspective `outcome` (rubric `outcome`) decides by what it says: edited, unchanged or wrong. A
    candidate without a verdict is quarantined with the cause.
    """

    Settings = VerifySettings
    name = "verify"
    version = "1"
    needs = frozenset({"source", "target", "instruction"})
    adds: frozenset[str] = frozenset()

    def __init__(self, settings: VerifySettings) -> None:
        self._settings = settings
        self._judge = (
            None if settings.judge is None else JudgeStep(JudgeStepSettings(judge=settings.judge))
        )
        judged = () if self._judge is None else self._judge.perspectives
        for name in settings.least:
            if name not in judged:
                raise RecipeError(
                    "the judge gives no such score", value=name, fix=known_names(name, judged)
                )
        self._deciding = tuple(settings.least) or judged

    @property
    def parameters(self) -> Mapping[str, Json]:
        own = self._settings.model_dump(mode="json", exclude={"judge"})
        return {**own, "judge": None if self._judge is None else self._judge.parameters["judge"]}

    @property
    def resources(self) -> Resources:
        """Those of the judge."""
        return CPU if self._judge is None else self._judge.resources

    @property
    def deadline(self) -> float:
        """The judge's seconds for each input."""
        return JudgeStep.deadline

    def setup(self, context: StepContext) -> None:
        if self._judge is not None:
            self._judge.setup(context)

    def close(self) -> None:
        if self._judge is not None:
            self._judge.close()

    def process(self, batch: Sequence[EditSample]) -> list[Outcome]:
        """Return Keep with scores, Drop with an attempt, or Fail, for each candidate."""
        outcomes: dict[int, Outcome] = {}
        for at, sample in enumerate(batch):
            current_worker().beat()
            outcomes[at] = self._gated(sample)
        if self._judge is not None:
            left = [at for at, outcome in outcomes.items() if isinstance(outcome, Keep)]
            current_worker().expect(self.deadline, len(left))
            judged = self._judge.process([batch[at] for at in left])
            outcomes.update(zip(left, map(self._decided, judged), strict=True))
        return [outcomes[at] for at in range(len(batch))]

    def estimate(self, batch: Sequence[EditSample]) -> list[CostEstimate]:
        """Return the cost estimate of judging every sample of a batch; asks nothing."""
        return [] if self._judge is None else self._judge.estimate(batch)

    def usage(self, cache: Path) -> ChatUsage:
        """Return the judge's usage of servers since the start of the run that has this cache."""
        return ChatUsage() if self._judge is None else self._judge.usage(cache)

    def _gated(self, sample: EditSample) -> Outcome:
        """Return Drop for the first defect that is a gate, else Keep."""
        for code, value in picture_problems(decoded(sample), smallest=0):
            if code in self._settings.gates:
                unchanged = code == "unchanged"
                outcome = EditOutcome.UNCHANGED if unchanged else EditOutcome.WRONG
                return _rejected(sample, outcome, code, f"{code}: {value}" if value else code)
        return Keep((sample,))

    def _decided(self, judged: Outcome) -> Outcome:
        """Return what a judged candidate's scores decide; the first failure counts."""
        if not isinstance(judged, Keep):
            return judged
        (sample,) = judged.samples
        scores = [(name, sample.scores[name]) for name in self._deciding]
        missing = [self._missing(name, score) for name, score in scores]
        failed = next((each for each in missing if each is not None), None)
        if failed is not None:
            return failed
        for name, score in scores:
            assert isinstance(score, Score)
            found = self._failing(name, score)
            if found is not None:
                outcome, reason = found
                told = reason if not score.text else f"{reason}: {score.text}"
                return _rejected(sample, outcome, reason, told)
        return judged

    def _missing(self, name: str, score: Score | Unscored) -> Fail | None:
        """Return a failure if a score is missing or decides nothing."""
        if isinstance(score, Unscored):
            refused = score.cause is Cause.REFUSED
            failure = FailureClass.POLICY if refused else FailureClass.PERMANENT
            message = f"{name}: {score.reason}"
            return Fail("no-verdict", failure, message, reply_key=score.reply_key)
        if name in self._settings.least:
            return None
        decides = outcome_of(score) is not None if name == OUTCOME else score.passed is not None
        fix = f"set `least: {{{name}: ...}}` if this judge never does"
        message = f"{name}: the judge did not say whether it passed; {fix}"
        return None if decides else Fail("undecided", FailureClass.PERMANENT, message)

    def _failing(self, name: str, score: Score) -> tuple[EditOutcome, str] | None:
        """Return the outcome and the reason of a score that does not pass."""
        least = self._settings.least.get(name)
        if least is not None:
            below = f"{name} is below {least:g}"
            return (EditOutcome.WRONG, below) if score.value < least else None
        if name == OUTCOME:
            found = outcome_of(score) or EditOutcome.WRONG
            return None if found is EditOutcome.EDITED else (found, f"judged {found}")
        return None if score.passed else (EditOutcome.WRONG, f"{name} is not passed")


def _rejected(sample: EditSample, outcome: EditOutcome, reason: str, told: str) -> Drop:
    """Return the drop of a candidate; `told` adds to the reason what was found in this one."""
    return Drop(reason, (attempt(sample, outcome, told),))
