"""Small steps for tests of `retry`, and the steps to which a recipe's entry is unrolled."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from editloop.errors import FailureClass
from editloop.kernel.sample_steps import Answer, GroupStep, SampleMap
from editloop.kernel.steps import Drop, Fail, Keep, StepContext
from editloop.kernel.tasks import StepSpec
from editloop.loop.entries import Entry
from editloop.loop.retries import unrolled
from editloop.schema import Attempt, EditOutcome, EditSample, Provenance
from editloop.settings import Settings
from kernel_parts import picture

__all__ = ["number_of", "retry_steps"]


def retry_steps(times: int, *steps: dict[str, object]) -> list[StepSpec]:
    """Return the steps of a retry; kinds are classes of this module."""
    own = [{**step, "kind": f"{__name__}:{step['kind']}", "name": step["kind"]} for step in steps]
    return unrolled(Entry(kind="retry", name="again", times=times, steps=own))


def number_of(sample: EditSample) -> int:
    """Return the number of the try in which a sample is."""
    return int(sample.id.partition("/try-")[2].partition("/")[0])


class TryStep(SampleMap):
    """Gives a sample a target in try `passes[ID]` (default 1), and drops it before.

    `log` gets a line for each setup and each sample with what failed before.
    """

    class Settings(Settings):
        passes: Mapping[str, int] = {}
        log: str = ""

    def setup(self, context: StepContext) -> None:
        super().setup(context)
        self._log("setup")

    def change(self, sample: EditSample) -> Answer:
        assert sample.target is None
        facts = {} if sample.provenance is None else sample.provenance.parameters
        self._log(sample.id, facts.get("failed"), sample.source_image.path, sample.mask is None)
        made = Attempt(sample, EditOutcome.WRONG, 1, reason="not yet")
        if number_of(sample) < self.settings.passes.get(sample.id.partition("/try-")[0], 1):
            return Drop("not yet", (made,))
        return replace(sample, target=picture(sample.id, 64))

    def _log(self, *line: object) -> None:
        if self.settings.log:
            with Path(self.settings.log).open("a") as file:
                file.write(f"{json.dumps(line)}\n")


class ReviseStep(SampleMap):
    """Adds a word to the instruction for each try before."""

    def change(self, sample: EditSample) -> Answer:
        facts = {} if sample.provenance is None else sample.provenance.parameters
        more = " red" * len(facts.get("failed", ()))
        return replace(sample, instruction=sample.instruction + more)


class SpoilStep(SampleMap):
    """Replaces what it can: pictures, texts and the provenance."""

    def change(self, sample: EditSample) -> Answer:
        return replace(
            sample,
            source=picture(f"cropped {sample.id}", 64),
            mask=picture("mask", 64),
            source_caption="spoiled",
            provenance=Provenance("spoiler", "1"),
        )


class CandidatesStep(SampleMap):
    """Makes three candidates; the first one of an odd try is a rejected attempt."""

    def change(self, sample: EditSample) -> Answer:
        made = Provenance("maker", "1")
        names = [f"{sample.id}/{number}" for number in (1, 2, 3)]
        samples = [
            replace(
                sample,
                id=name,
                parent_id=sample.id,
                target=picture(name, 64),
                provenance=replace(made, parameters={"attempt": number}),
            )
            for number, name in enumerate(names, 1)
        ]
        if number_of(sample) % 2 == 0:
            return Keep(tuple(samples))
        return Keep(tuple(samples[1:]), (Attempt(samples[0], EditOutcome.WRONG, 1, reason="odd"),))


class LastStep(GroupStep):
    """Keeps the last candidate of each group in the try `good`, and drops all others."""

    class Settings(Settings):
        good: int = 1

    def group(self, sample: EditSample) -> str:
        return sample.id.rpartition("/")[0]

    def answer(self, samples: Sequence[EditSample]) -> Sequence[Answer]:
        assert len({self.group(sample) for sample in samples}) == 1
        good = number_of(samples[0]) >= self.settings.good
        return [
            sample if good and sample is samples[-1] else Drop(f"not one of {len(samples)}")
            for sample in samples
        ]


class FlakyStep(SampleMap):
    """Fails for now until the file `up` is in the folder."""

    class Settings(Settings):
        folder: str
        on: str

    def change(self, sample: EditSample) -> Answer:
        if sample.id.startswith(self.settings.on) and not Path(self.settings.folder, "up").exists():
            return Fail("time-out", FailureClass.TRANSIENT, "no answer")
        return sample
