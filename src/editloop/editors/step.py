"""The build step `edit`: any editor makes the target of each sample from its instruction."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from editloop.chat.usage import ChatUsage
from editloop.editors.records import Edited, edit_recorded, not_made
from editloop.editors.requests import mask_for
from editloop.images.codec import decode, encode_png
from editloop.images.masks import NOWHERE, is_nowhere
from editloop.kernel.engines.worker import current_worker
from editloop.kernel.resources import CPU, Resources
from editloop.kernel.server_runs import in_run, run_of, run_usage
from editloop.kernel.steps import Drop, Keep, Outcome, StepContext
from editloop.registry import parse_spec
from editloop.runtime.seeding import derive_seed
from editloop.schema import Captions, EditRequest, EditSample, Image, Json, Provenance, Unedited
from editloop.settings import Settings as BaseSettings

__all__ = ["EditStep", "EditStepSettings"]

_GPU_IF_ANY = Resources(gpus=1, gpu_optional=True)
_DEADLINE = 600.0  # seconds; a large model on a CPU is slow
_BYTES = 256_000_000  # of pixels in memory at a time


class EditStepSettings(BaseSettings):
    """The editor, and whether it gets the samples' masks."""

    editor: str | dict[str, Json] = Field(description="an editor's SPEC, or a mapping with `kind`")
    with_mask: bool = Field(default=False, description="let the editor edit only within the mask")
    batch: int = Field(
        default=16,
        ge=1,
        description="maximum number of requests per call; more, if a server takes them at once",
    )


class EditStep:
    """A step that replaces each sample's target by an editor's picture.

    A sample that the editor does not edit, or leaves as it is, is dropped with the reason. One
    whose picture could not be had, as a server failed or refused, is quarantined with the cause.
    Scores of an older target are removed. Each request has a seed of its own.
    """

    Settings = EditStepSettings
    name = "edit"
    version = "1"
    needs = frozenset({"source", "instruction"})
    adds = frozenset({"target", "provenance"})

    def __init__(self, settings: EditStepSettings) -> None:
        self._settings = settings
        self._spec = parse_spec(settings.editor, "editor")
        self._editor: Any = self._spec.create("editor")
        self._seed = 0

    @property
    def deadline(self) -> float:
        """The seconds that one edit may take: the editor's own, or those of a large model."""
        return max(_DEADLINE, getattr(self._editor, "deadline", 0.0))

    @property
    def parameters(self) -> Mapping[str, Json]:
        return {
            "editor": {"kind": self._spec.kind, "fingerprint": self._editor.fingerprint},
            "with_mask": self._settings.with_mask,
            "batch": self._settings.batch,
        }

    @property
    def resources(self) -> Resources:
        """Those that the editor states; else a GPU if there is one for an editor with weights."""
        usual = _GPU_IF_ANY if hasattr(type(self._editor), "weights") else CPU
        found: Resources = getattr(self._editor, "resources", usual)
        return found

    def setup(self, context: StepContext) -> None:
        """Keep the seed; raises UnavailableError if the editor's weights are missing."""
        if (missing := getattr(self._editor, "missing", lambda: None)()) is not None:
            raise missing
        self._seed = context.seed
        spec = in_run(self._spec, "editor", self._run(context.cache))
        if spec != self._spec:
            self._editor = spec.create("editor")

    def usage(self, cache: Path) -> ChatUsage:
        """Return the usage of the editor's server since the start of the run with this cache."""
        return run_usage(self._editor, self._run(cache))

    def _run(self, cache: Path | None) -> str:
        return run_of(self.name, self._editor.name, cache)

    def close(self) -> None:
        getattr(self._editor, "close", lambda: None)()

    def process(self, batch: Sequence[EditSample]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        for samples, made in self._batches(batch):
            requests = [each for each in made if isinstance(each, EditRequest)]
            current_worker().expect(self.deadline, len(requests))
            answers = edit_recorded(self._editor, requests) if requests else []
            coming = iter(answers)
            for sample, each in zip(samples, made, strict=True):
                if isinstance(each, EditRequest):
                    outcomes.append(self._outcome(sample, each, next(coming)))
                else:
                    outcomes.append(each)
        return outcomes

    def _batches(
        self, batch: Sequence[EditSample]
    ) -> Iterator[tuple[list[EditSample], list[EditRequest | Drop]]]:
        """Yield the samples with their requests in batches that fit in memory."""
        samples: list[EditSample] = []
        requests: list[EditRequest | Drop] = []
        weight = 0
        most = max(self._settings.batch, getattr(self._editor, "in_flight", 1))
        for sample in batch:
            request = self._request(sample)
            samples.append(sample)
            requests.append(request)
            weight += request.image.nbytes if isinstance(request, EditRequest) else 0
            if len(requests) == most or weight >= _BYTES:
                yield samples, requests
                samples, requests, weight = [], [], 0
        if samples:
            yield samples, requests

    def _request(self, sample: EditSample) -> EditRequest | Drop:
        """Return the request for a sample, or Drop if its mask is of no use."""
        source = decode(sample.source_image.bytes)
        mask = None
        if self._settings.with_mask and sample.mask is not None:
            mask = mask_for(sample.mask.bytes, source.shape[:2])
        if isinstance(mask, str):
            return Drop("the mask has another shape than the picture")
        if is_nowhere(mask):
            return Drop(NOWHERE)
        return EditRequest(
            id=sample.id,
            image=source,
            instruction=sample.instruction,
            turn=sample.turn,
            captions=Captions(sample.source_caption, sample.target_caption),
            mask=mask,
            seed=derive_seed(self._seed, "edit", sample.id, sample.turn),
            session=sample.session,
        )

    def _outcome(
        self, sample: EditSample, request: EditRequest, answer: Edited | Unedited
    ) -> Outcome:
        if isinstance(answer, Unedited):
            return not_made(answer)
        if np.array_equal(answer.pixels, request.image):
            return Drop("the editor changed nothing")
        made, origin = Image(encode_png(answer.pixels)), self._made(sample, request, answer)
        return Keep((replace(sample, target=made, scores={}, provenance=origin),))

    def _made(self, sample: EditSample, request: EditRequest, answer: Edited) -> Provenance:
        before = sample.provenance or Provenance("", "")
        return Provenance(
            self._editor.name,
            self._editor.fingerprint,
            seed=request.seed,
            parameters={**self.parameters, **answer.record},
            licence=before.licence,
            source_uri=before.source_uri,
        )
