"""The build step `edit`: any editor makes the target of each sample from its instruction."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from editloop.chat.usage import ChatUsage
from editloop.editors.records import Edited, edit_recorded
from editloop.editors.requests import UNSEEN, mask_for, sees
from editloop.errors import FailureClass
from editloop.images.codec import decode, encode_png
from editloop.images.masks import NOWHERE, is_nowhere
from editloop.kernel.engines.worker import current_worker
from editloop.kernel.resources import CPU, Resources
from editloop.kernel.server_runs import in_run, run_of, run_usage
from editloop.kernel.steps import Drop, Fail, Keep, Outcome, StepContext
from editloop.registry import parse_spec
from editloop.runtime.seeding import derive_seed
from editloop.schema import (
    Attempt,
    Captions,
    EditOutcome,
    EditRequest,
    EditSample,
    Image,
    Json,
    Mask,
    Pixels,
    Provenance,
    Unedited,
)
from editloop.settings import Settings as BaseSettings

__all__ = ["EditStep", "EditStepSettings"]

_GPU_IF_ANY = Resources(gpus=1, gpu_optional=True)
_DEADLINE = 600.0  # seconds; a large model on a CPU is slow
_BYTES = 256_000_000  # of pixels in memory at a time
_UNCHANGED = "the editor changed nothing"


class EditStepSettings(BaseSettings):
    """The editor, the number of candidates, and whether it gets the samples' masks."""

    editor: str | dict[str, Json] = Field(description="an editor's SPEC, or a mapping with `kind`")
    candidates: int = Field(default=1, ge=1, le=1000, description="pictures for each sample")
    with_mask: bool = Field(default=False, description="let the editor edit only within the mask")
    batch: int = Field(
        default=16,
        ge=1,
        description="maximum number of requests per call; more, if a server takes them at once",
    )


@dataclass(frozen=True, slots=True)
class _Asked:
    """One candidate to make of the sample at a place of the batch; Drop if it cannot be asked."""

    at: int
    number: int
    request: EditRequest | Drop


@dataclass(frozen=True, slots=True)
class _Failed:
    """A candidate that a server refused or failed on."""

    attempt: Attempt
    fail: Fail


class EditStep:
    """A step that replaces each sample's target by an editor's picture.

    With several `candidates`, a sample ID becomes ID/1, ID/2, ..., each with a seed of its own. A
    candidate that the editor does not edit, or leaves as it is, is a rejected attempt with the
    reason; a sample without any other is dropped, as is one with reference pictures if the editor
    takes none. If a server failed for now, or refused all candidates, the sample is quarantined
    with the cause. Scores of an older target are removed. The candidate's number is in its
    provenance, as `attempt`.
    """

    Settings = EditStepSettings
    name = "edit"
    version = "2"
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
            "candidates": self._settings.candidates,
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
        """Return the candidates of each sample, or Drop with the reason why there are none."""
        made: list[list[Attempt | Drop | _Failed]] = [[] for _ in batch]
        for asked in self._batches(batch):
            requests = [each.request for each in asked if isinstance(each.request, EditRequest)]
            current_worker().expect(self.deadline, len(requests))
            answers = edit_recorded(self._editor, requests) if requests else []
            coming = iter(answers)
            for each in asked:
                if isinstance(each.request, EditRequest):
                    made[each.at].append(self._attempt(batch[each.at], each, next(coming)))
                else:
                    made[each.at].append(each.request)
        return list(map(_outcome, made))

    def _batches(self, batch: Sequence[EditSample]) -> Iterator[list[_Asked]]:
        """Yield what to ask in batches that fit in memory; a source is decoded once."""
        asked: list[_Asked] = []
        weight = 0
        most = max(self._settings.batch, getattr(self._editor, "in_flight", 1))
        for at, sample in enumerate(batch):
            source = decode(sample.source_image.bytes)
            seen = sees(self._editor, sample.references)
            mask = self._mask(sample, source) if seen else Drop(UNSEEN)
            if isinstance(mask, Drop):
                asked.append(_Asked(at, 1, mask))
                continue
            for number in range(1, self._settings.candidates + 1):
                asked.append(_Asked(at, number, self._request(sample, number, source, mask)))
                weight += source.nbytes
                if len(asked) >= most or weight >= _BYTES:
                    yield asked
                    asked, weight = [], 0
        if asked:
            yield asked

    def _mask(self, sample: EditSample, source: Pixels) -> Mask | Drop | None:
        """Return the mask to give to the editor, or Drop if it is of no use."""
        if not self._settings.with_mask or sample.mask is None:
            return None
        mask = mask_for(sample.mask.bytes, source.shape[:2])
        if isinstance(mask, str):
            return Drop("the mask has another shape than the picture")
        return Drop(NOWHERE) if is_nowhere(mask) else mask

    def _request(
        self, sample: EditSample, number: int, source: Pixels, mask: Mask | None
    ) -> EditRequest:
        name = self._name(sample, number)
        return EditRequest(
            id=name,
            image=source,
            instruction=sample.instruction,
            turn=sample.turn,
            captions=Captions(sample.source_caption, sample.target_caption),
            mask=mask,
            seed=derive_seed(self._seed, "edit", name, sample.turn),
            session=sample.session,
            references=tuple(decode(each.bytes) for each in sample.references),
        )

    def _name(self, sample: EditSample, number: int) -> str:
        return sample.id if self._settings.candidates == 1 else f"{sample.id}/{number}"

    def _attempt(
        self, sample: EditSample, asked: _Asked, answer: Edited | Unedited
    ) -> Attempt | _Failed:
        """Return a candidate, with the reason if it is of no use."""
        assert isinstance(asked.request, EditRequest)
        record: Mapping[str, Json] = {}
        target, outcome, reason = None, EditOutcome.EDITED, None
        if isinstance(answer, Unedited):
            outcome, reason = EditOutcome.WRONG, answer.reason
        else:
            target, record = Image(encode_png(answer.pixels)), answer.record
            if np.array_equal(answer.pixels, asked.request.image):
                outcome, reason = EditOutcome.UNCHANGED, _UNCHANGED
        own = replace(
            sample,
            id=asked.request.id,
            parent_id=sample.parent_id if self._settings.candidates == 1 else sample.id,
            target=target,
            scores={},
            provenance=self._made(sample, asked, record),
        )
        made = Attempt(own, outcome, asked.number, cost=record.get("cost"), reason=reason)
        if isinstance(answer, Unedited) and answer.failure is not None:
            fail = Fail(answer.code, answer.failure, answer.reason, answer.reply_key)
            return _Failed(made, fail)
        return made

    def _made(self, sample: EditSample, asked: _Asked, record: Mapping[str, Json]) -> Provenance:
        assert isinstance(asked.request, EditRequest)
        before = sample.provenance or Provenance("", "")
        return Provenance(
            self._editor.name,
            self._editor.fingerprint,
            seed=asked.request.seed,
            parameters={**self.parameters, "attempt": asked.number, **record},
            licence=before.licence,
            source_uri=before.source_uri,
        )


def _outcome(made: Sequence[Attempt | Drop | _Failed]) -> Outcome:
    """Return the outcome of a sample: its candidates, and those of no use as attempts.

    A failure that may pass later quarantines the sample, so that none of its candidates is missing;
    any other one does only if all its candidates failed.
    """
    dropped = [each for each in made if isinstance(each, Drop)]
    if dropped:
        return dropped[0]
    failed = [each.fail for each in made if isinstance(each, _Failed)]
    later = [each for each in failed if each.failure is FailureClass.TRANSIENT]
    if later or len(failed) == len(made):
        return (later or failed)[0]
    attempts = [
        each.attempt if isinstance(each, _Failed) else each
        for each in made
        if not isinstance(each, Drop)
    ]
    kept = tuple(each.sample for each in attempts if each.outcome is EditOutcome.EDITED)
    rejected = tuple(each for each in attempts if each.outcome is not EditOutcome.EDITED)
    return Keep(kept, rejected) if kept else Drop(rejected[0].reason or "", rejected)
