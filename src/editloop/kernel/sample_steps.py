"""Bases of steps that answer one sample at a time; a subclass is one method.

    class Polite(SampleMap):
        def change(self, sample):
            return replace(sample, instruction=f"{sample.instruction}, please")

The kernel does the rest: accounting, drop reasons, retries, resume. A subclass may state
`Settings`, `version`, `needs`, `adds`, `resources` and `deadline`, and override `setup`, `close`.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from editloop.errors import StepError
from editloop.kernel.engines.worker import current_worker
from editloop.kernel.groups import units_of
from editloop.kernel.resources import CPU, Resources
from editloop.kernel.steps import Drop, Fail, Keep, Outcome, StepContext
from editloop.schema import EditSample, Json
from editloop.settings import Settings as BaseSettings

__all__ = ["Answer", "GroupStep", "SampleFilter", "SampleMap", "SampleStep", "outcome_of"]

Answer = EditSample | Outcome  # of a sample: the changed sample, or an outcome


class SampleStep(ABC):
    """What the steps that answer sample by sample share; `settings` and `context` are set."""

    Settings: ClassVar[type[BaseSettings]] = BaseSettings
    version: str = "1"
    needs: frozenset[str] = frozenset()
    adds: frozenset[str] = frozenset()
    deadline: float | None = None

    def __init__(self, settings: Any = None) -> None:
        self.settings: Any = self.Settings() if settings is None else settings
        self.context = StepContext(seed=0, split="train")

    @property
    def name(self) -> str:
        """The class's name in lower case, with hyphens."""
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", type(self).__name__).lower()

    @property
    def resources(self) -> Resources:
        """One core; a subclass may state others."""
        return CPU

    @property
    def parameters(self) -> Mapping[str, Json]:
        """The settings as JSON."""
        parameters: dict[str, Json] = self.settings.model_dump(mode="json")
        return parameters

    def setup(self, context: StepContext) -> None:
        """Keep the context."""
        self.context = context

    def close(self) -> None:  # noqa: B027
        """Release what `setup` took; nothing, unless a subclass does otherwise."""

    @abstractmethod
    def process(self, batch: Sequence[EditSample]) -> list[Outcome]:
        """Return one outcome for each sample, in order."""
        ...


class SampleMap(SampleStep):
    """A step that changes each sample."""

    @abstractmethod
    def change(self, sample: EditSample) -> Answer:
        """Return the changed sample; or Keep with several, Drop with a reason, or Fail."""
        ...

    def process(self, batch: Sequence[EditSample]) -> list[Outcome]:
        """Return the outcome of each sample's change."""
        return _one_by_one(self._outcome, batch)

    def _outcome(self, sample: EditSample) -> Outcome:
        return outcome_of(self.change(sample), f"{self.name}.change")


class SampleFilter(SampleStep):
    """A step that keeps a sample unchanged, or drops it with a reason."""

    @abstractmethod
    def reject(self, sample: EditSample) -> str | None:
        """Return the reason to drop a sample, or None to keep it.

        Reasons are counted, so use few and fixed ones.
        """
        ...

    def process(self, batch: Sequence[EditSample]) -> list[Outcome]:
        """Return Keep or Drop for each sample."""
        return _one_by_one(self._outcome, batch)

    def _outcome(self, sample: EditSample) -> Outcome:
        reason = self.reject(sample)
        if reason is None:
            return Keep((sample,))
        if not isinstance(reason, str) or not reason:
            raise StepError(
                f"{self.name}.reject did not answer with a reason or None",
                value=repr(reason),
                fix="return None to keep the sample, and a text to drop it",
            )
        return Drop(reason)


class GroupStep(SampleStep):
    """A step that answers whole groups of samples, such as the candidates of one prompt.

    A group's samples are in one shard: made from one input, or brought together by `gather`.
    """

    @abstractmethod
    def group(self, sample: EditSample) -> str:
        """Return the name of a sample's group, from the sample alone."""
        ...

    @abstractmethod
    def answer(self, samples: Sequence[EditSample]) -> Sequence[Answer]:
        """Return the answer to each sample of a group, in order."""
        ...

    def process(self, batch: Sequence[EditSample]) -> list[Outcome]:
        """Return the outcome of each sample."""
        outcomes: dict[int, Outcome] = {}
        for unit in units_of([self.group(sample) for sample in batch]):
            current_worker().beat()
            answers = self.answer([batch[at] for at in unit])
            if len(answers) != len(unit):
                raise StepError(
                    f"{self.name}.answer gave {len(answers)} answers for {len(unit)} samples",
                    fix="answer each sample of the group",
                )
            made = [outcome_of(each, f"{self.name}.answer") for each in answers]
            outcomes.update(zip(unit, made, strict=True))
        return [outcomes[at] for at in range(len(batch))]


def outcome_of(answer: object, where: str) -> Outcome:
    """Return a step's answer to a sample as an outcome; StepError if it is none."""
    if isinstance(answer, Keep | Drop | Fail):
        return answer
    if isinstance(answer, EditSample):
        return Keep((answer,))
    raise StepError(
        f"{where} did not answer with a sample or an outcome",
        value=type(answer).__name__,
        fix="return the sample, or a Keep, Drop or Fail",
    )


def _one_by_one(
    answer: Callable[[EditSample], Outcome], batch: Sequence[EditSample]
) -> list[Outcome]:
    """Return the outcome of each sample; each is a sign of life of the worker."""
    worker, outcomes = current_worker(), []
    for sample in batch:
        worker.beat()
        outcomes.append(answer(sample))
    return outcomes
