"""The build step `picture`: a source picture for each text-first sample, from its caption."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from pydantic import Field

from editloop.chat.usage import ChatUsage
from editloop.editors.records import Edited, not_made
from editloop.errors import StepError
from editloop.images.codec import encode_png
from editloop.kernel.engines.worker import current_worker
from editloop.kernel.resources import Resources, resources_of
from editloop.kernel.server_runs import in_run, run_of, run_usage
from editloop.kernel.steps import Keep, Outcome, StepContext
from editloop.registry import parse_spec
from editloop.runtime.seeding import derive_seed
from editloop.schema import EditSample, Image, Json, Provenance, Unedited
from editloop.settings import Settings as BaseSettings

__all__ = ["Caption", "Generator", "PictureStep", "PictureStepSettings"]

_DEADLINE = 600.0  # seconds; a large model on a CPU is slow


@dataclass(frozen=True, slots=True)
class Caption:
    """A caption to make a picture of; the same seed makes the same picture, where a model can."""

    id: str
    text: str
    seed: int


class Generator(Protocol):
    """The interface of text-to-image generators."""

    @property
    def name(self) -> str: ...

    @property
    def fingerprint(self) -> str:
        """A string that changes exactly when the pictures may change."""
        ...

    def generate(self, captions: Sequence[Caption]) -> list[Edited | Unedited]:
        """Return a picture with its record for each caption, or the reason why there is none."""
        ...


class PictureStepSettings(BaseSettings):
    """The generator."""

    generator: str | dict[str, Json] = Field(
        description="a generator's SPEC (images:MODEL?base_url=URL, text-to-image:MODEL), or a "
        "mapping with `kind`"
    )


class PictureStep:
    """A step that makes the source picture of each sample from its source caption.

    A sample that has a source picture keeps it. One whose picture could not be had, as a server
    failed or refused, is quarantined with the cause. Each picture has a seed of its own.
    """

    Settings = PictureStepSettings
    name = "picture"
    version = "1"
    needs = frozenset({"source_caption"})
    adds = frozenset({"source", "provenance"})

    def __init__(self, settings: PictureStepSettings) -> None:
        self._spec = parse_spec(settings.generator, "generator")
        self._generator: Any = self._spec.create("generator")
        self._seed = 0

    @property
    def parameters(self) -> Mapping[str, Json]:
        """The generator's kind and fingerprint."""
        own = {"kind": self._spec.kind, "fingerprint": self._generator.fingerprint}
        return {"generator": own}

    @property
    def resources(self) -> Resources:
        """Those that the generator states."""
        return resources_of(self._generator)

    @property
    def deadline(self) -> float:
        """The seconds that one picture may take."""
        return max(_DEADLINE, getattr(self._generator, "deadline", 0.0))

    def setup(self, context: StepContext) -> None:
        """Keep the seed; raises UnavailableError if the generator's weights are missing."""
        if (missing := getattr(self._generator, "missing", lambda: None)()) is not None:
            raise missing
        self._seed = context.seed
        spec = in_run(self._spec, "generator", self._run(context.cache))
        if spec != self._spec:
            self._generator = spec.create("generator")

    def close(self) -> None:
        getattr(self._generator, "close", lambda: None)()

    def usage(self, cache: Path) -> ChatUsage:
        """Return the usage of the generator's server since the start of the run with this cache."""
        return run_usage(self._generator, self._run(cache))

    def process(self, batch: Sequence[EditSample]) -> list[Outcome]:
        """Return each sample with its picture, or why there is none."""
        captions = [
            Caption(each.id, each.source_caption or "", derive_seed(self._seed, self.name, each.id))
            for each in batch
            if each.source is None
        ]
        current_worker().expect(self.deadline, len(captions))
        made = self._generator.generate(captions) if captions else []
        if len(made) != len(captions):
            raise StepError(
                f"generator {self._generator.name} returned a wrong number of answers",
                value=f"{len(made)} answers to {len(captions)} captions",
                fix="return one picture or Unedited for each caption",
            )
        coming = iter(zip(captions, made, strict=True))
        return [
            self._outcome(each, *next(coming)) if each.source is None else Keep((each,))
            for each in batch
        ]

    def _run(self, cache: Path | None) -> str:
        return run_of(self.name, self._generator.name, cache)

    def _outcome(self, sample: EditSample, asked: Caption, made: Edited | Unedited) -> Outcome:
        if isinstance(made, Unedited):
            return not_made(made)
        before = sample.provenance or Provenance("", "")
        origin = Provenance(
            self._generator.name,
            self._generator.fingerprint,
            seed=asked.seed,
            parameters={**self.parameters, **made.record},
            licence=before.licence,
            source_uri=before.source_uri,
        )
        picture = Image(encode_png(made.pixels))
        return Keep((replace(sample, source=picture, provenance=origin),))
