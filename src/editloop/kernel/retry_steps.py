"""The steps that a recipe's `retry` is unrolled to: each step of each try, and the end of a try.

    retry.1.edit  retry.1.verify  retry.1.end  retry.2.edit  retry.2.verify  retry.2.end

A sample that a step of a try drops is carried on to the try's end. If no other candidate of the
same sample passed, the sample as it was before the first try goes through the next one; after the
last try it is dropped with its last reason. A try is its own steps with their own commits, so
nothing is made twice after an interruption, and ids follow from the try's number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from editloop.kernel.contract import answers, check_step, step_stage
from editloop.kernel.groups import group_names, grouping, units_of
from editloop.kernel.ready_steps import ready_step
from editloop.kernel.resources import Resources, resources_of
from editloop.kernel.retry_state import RetryState, opened, state_of
from editloop.kernel.sample_steps import Answer, GroupStep
from editloop.kernel.steps import Drop, Fail, Keep, Outcome, StepContext
from editloop.kernel.tasks import StepSpec
from editloop.schema import EditSample, Json
from editloop.settings import Settings as BaseSettings

__all__ = ["RetryEnd", "RetryEndSettings", "RetryStep", "RetryStepSettings"]


class RetryStepSettings(BaseSettings):
    """A step of a recipe's entry, and the number of the try."""

    step: dict[str, Json] = Field(description="`name`, `kind` and `settings` of the step")
    number: int = Field(ge=1)


class RetryStep:
    """A step in one try: it gets the samples of this try, and all others pass by.

    Its drops do not end a sample; its failures do. Its instance is shared by all tries.
    """

    Settings = RetryStepSettings
    name = "retry-step"
    version = "1"
    needs: frozenset[str] = frozenset()
    adds: frozenset[str] = frozenset()

    def __init__(self, settings: RetryStepSettings) -> None:
        self._number = settings.number
        self._spec = StepSpec("build", **settings.step)
        self._step: Any = self._spec.create()
        check_step(self._spec.name, self._step)
        if grouping(self._step) is not None:
            self.group = self._group

    @property
    def parameters(self) -> Mapping[str, Json]:
        step = {"kind": self._spec.kind, "version": self._step.version}
        return {"step": {**step, "parameters": dict(self._step.parameters)}, "number": self._number}

    @property
    def resources(self) -> Resources:
        """Those of the step."""
        return resources_of(self._step)

    @property
    def deadline(self) -> float | None:
        """The step's."""
        return getattr(self._step, "deadline", None)

    def setup(self, context: StepContext) -> None:
        """Take the step that the worker has set up for all tries of this split."""
        self._step = ready_step(self._spec, context.seed, context.split, context.cache)

    def process(self, batch: Sequence[EditSample]) -> list[Outcome]:
        """Return the step's outcomes of the samples of this try, and all others as they are."""
        outcomes: list[Outcome] = [Keep((sample,)) for sample in batch]
        tried = [(at, *own) for at, each in enumerate(batch) if (own := self._open(each))]
        shown = [state.shown(sample) for _, sample, state in tried]
        units = units_of(group_names(grouping(self._step), shown))
        order = [at for unit in units for at in unit]
        stage = step_stage(self._spec.name, self._step)
        found = answers(stage, [shown[at] for at in order], list(map(len, units))) if order else []
        for place, outcome in zip(order, found, strict=True):
            at, sample, state = tried[place]
            outcomes[at] = _carried(sample, state, outcome)
        return outcomes

    def _group(self, sample: EditSample) -> str:
        """Return the step's group of a sample of this try; all others are alone."""
        found = self._open(sample)
        if found is None:
            return f"passed/{sample.id}"
        own, state = found
        return f"open/{self._step.group(state.shown(own))}"

    def _open(self, sample: EditSample) -> tuple[EditSample, RetryState] | None:
        """Return a sample and its state if it is tried now; one without a state begins."""
        state = state_of(sample)
        if state is None:
            return opened(sample)
        return (sample, state) if state.number == self._number and state.rejected is None else None


def _carried(sample: EditSample, state: RetryState, outcome: Outcome) -> Outcome:
    """Return a step's outcome with the state on all samples; a dropped one is carried on too."""
    if isinstance(outcome, Fail):
        return outcome
    made = outcome.attempts
    attempts = tuple(map(state.linked, made))
    if isinstance(outcome, Drop):
        return Keep((state.dropped(sample, outcome.reason, made),), attempts)
    return Keep(tuple(state.carried(sample, each, made) for each in outcome.samples), attempts)


class RetryEndSettings(BaseSettings):
    """The number of the try that ends here, and whether it is the last."""

    number: int = Field(ge=1)
    last: bool


class RetryEnd(GroupStep):
    """The end of a try: decides for all candidates of a sample together."""

    Settings = RetryEndSettings

    def group(self, sample: EditSample) -> str:
        """The candidates of one sample in this try are a group; all others are alone."""
        state = state_of(sample)
        if state is None or state.number != self.settings.number:
            return f"passed/{sample.id}"
        return f"tried/{state.parent}"

    def answer(self, samples: Sequence[EditSample]) -> Sequence[Answer]:
        """Return what passed; or the sample for the next try in place of its first candidate."""
        states = [state_of(sample) for sample in samples]
        whole = [state for state in states if state is not None]
        if len(whole) < len(samples) or whole[0].number != self.settings.number:
            return [self._left(*each) for each in zip(samples, states, strict=True)]
        found: list[Answer] = [
            self._left(sample, state) if state.rejected is None else Drop(state.rejected)
            for sample, state in zip(samples, whole, strict=True)
        ]
        if not self.settings.last and all(state.rejected is not None for state in whole):
            found[0] = whole[0].tried_again(samples[0], samples)
        return found

    def _left(self, sample: EditSample, state: RetryState | None) -> EditSample:
        """Return a sample that passed; after the last try, it carries nothing more."""
        return state.passed(sample) if self.settings.last and state is not None else sample
