"""The base of steps that make a pair of pictures from a pair of captions, in several candidates."""

from __future__ import annotations

from abc import abstractmethod
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Self

import numpy as np
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
from pydantic import Field, model_validator

from editloop.editors.asking import Precision, Steps
from editloop.editors.memory import explained_memory
from editloop.editors.schedulers import scheduler_like
from editloop.errors import FailureClass, RecipeError
from editloop.hub import weights
from editloop.images.codec import decode, encode_png
from editloop.kernel.engines.worker import current_worker
from editloop.kernel.resources import Resources, a_model
from editloop.kernel.sample_steps import SampleStep
from editloop.kernel.steps import Drop, Fail, Keep, Outcome, StepContext
from editloop.models.pairs import MadePair, Mode, Pair, PairModel, Sampling, control_at
from editloop.models.pipeline_loading import (
    check_channels,
    is_xl,
    load_pipeline,
    quietly,
    weights_digest,
)
from editloop.runtime.seeding import derive_seed, generator
from editloop.schema import Attempt, EditOutcome, EditSample, Image, Json, Provenance
from editloop.settings import Settings as BaseSettings

__all__ = ["PairSettings", "PairStep"]


class PairSettings(BaseSettings):
    """The model, and the ranges from which each candidate draws; defaults are InstructPix2Pix's."""

    model: str = Field(
        description="a text-to-image Stable Diffusion (1.x, 2.x, XL): a folder, or its hub name"
    )
    mode: Mode = Field(
        default="instruct-pix2pix",
        description="instruct-pix2pix: self-attention in all layers; hertz: cross-attention by the "
        "alignment of words, and self-attention of up to 16 x 16 tokens",
    )
    steps: Steps = Field(default=100, description="steps of the sampler (Euler ancestral)")
    size: int | None = Field(
        default=None, ge=8, description="side of the square pictures; left out, the model's own"
    )
    candidates: int = Field(default=1, ge=1, description="pairs for each sample")
    share: tuple[float, float] = Field(
        default=(0.1, 0.9), description="range of the share of steps under control"
    )
    guidance: tuple[float, float] = Field(
        default=(7.5, 15.0), description="range of the guidance scale; [1, 1]: without guidance"
    )
    precision: Precision = Field(default="fp32", description="dtype of the networks")
    batch: int = Field(default=4, ge=1, description="pairs made at once")

    def sampling(self, side: int) -> Sampling:
        """Return what all pairs of `side` pixels share."""
        return Sampling(self.mode, self.steps, side)

    @property
    def effective_steps(self) -> int:
        """The number of steps that are sampled."""
        return self.sampling(0).effective_steps

    @model_validator(mode="after")
    def _can_act(self) -> Self:
        if not 0 <= self.share[0] <= self.share[1] <= 1:
            raise ValueError(f"share is two numbers in 0..1, the lower one first: {self.share}")
        if self.effective_steps == 0:
            raise ValueError("less than one step is sampled: raise `steps` or `strength`")
        most = control_at(self.mode, self.share[1], self.effective_steps)
        if most.cross == most.itself == 0:
            raise ValueError(
                f"a share of at most {self.share[1]} controls none of {self.effective_steps} "
                f"steps in mode {self.mode}: raise `share` or `steps`"
            )
        if not 1 <= self.guidance[0] <= self.guidance[1]:
            raise ValueError(
                "guidance is two scales, the lower one first; below 1 there is none, so write "
                f"[1, 1] to go without: {self.guidance}"
            )
        return self


class PairStep(SampleStep):
    """A step whose candidates are ID/1, ID/2, ...; a single one keeps its sample's id.

    Each candidate has a seed, from which its share and guidance scale are drawn; all are recorded
    in the provenance, with the steps on which control acted. A candidate does not depend on the
    others: each batch has equally many, the last one filled up with copies.
    """

    Settings = PairSettings
    adds = frozenset({"source", "target", "provenance"})
    deadline = 600.0  # seconds between two steps of the sampler; a large model on a CPU is slow

    @abstractmethod
    def refusal(self, sample: EditSample) -> str | None:
        """Return why a sample with captions cannot be used, with the fix; None if it can."""
        ...

    def prepared(self, sample: EditSample) -> EditSample:
        """Return the sample with the source that pairs start from, as a square of `side` pixels.

        A sample without a source starts from noise.
        """
        return sample

    @property
    def resources(self) -> Resources:
        """A GPU, or all cores if there is none."""
        return a_model()

    @property
    def parameters(self) -> Mapping[str, Json]:
        """The settings, with the digest of the model's weights in place of its name."""
        return {**super().parameters, "model": self._digest}

    def setup(self, context: StepContext) -> None:
        """Keep the context; raise UnavailableError if the model is not on this machine."""
        super().setup(context)
        weights.find(self.settings.model)

    def process(self, batch: Sequence[EditSample]) -> list[Outcome]:
        """Return each sample's candidates."""
        refused = [self._refused(sample) for sample in batch]
        pairs = zip(batch, refused, strict=True)
        samples = [sample if outcome else self.prepared(sample) for sample, outcome in pairs]
        jobs = [
            (at, number, pair)
            for at, outcome in enumerate(refused)
            if outcome is None
            for number, pair in enumerate(self._pairs(samples[at]), 1)
        ]
        attempts: dict[int, list[Attempt]] = defaultdict(list)
        made = self._made([pair for _, _, pair in jobs])
        for (at, number, pair), each in zip(jobs, made, strict=True):
            attempts[at].append(self._attempt(samples[at], number, pair, each))
        return [outcome or _outcome(attempts[at]) for at, outcome in enumerate(refused)]

    def _refused(self, sample: EditSample) -> Outcome | None:
        before, after = sample.source_caption, sample.target_caption
        if not before or not after:
            missing = "target" if before else "source"
            reason = (
                f"there is no {missing} caption, and {self.name} makes pictures of captions: take "
                "the source `triplets`, or let `instruct-from-captions` or "
                "`instruct-from-picture` come before it"
            )
            return Fail("caption", FailureClass.PERMANENT, reason)
        if (unfit := self.refusal(sample)) is not None:
            return Fail("picture", FailureClass.PERMANENT, unfit)
        ids = self._model.texts.ids([before, after])
        return Drop("the model reads the same in both captions") if ids[0].equal(ids[1]) else None

    def _pairs(self, sample: EditSample) -> Iterator[Pair]:
        photo = None if sample.source is None else decode(sample.source.bytes)
        for number in range(1, self.settings.candidates + 1):
            seed = derive_seed(self.context.seed, self.name, sample.id, number)
            draws = generator(seed, "share and guidance")
            yield Pair(
                sample.source_caption or "",
                sample.target_caption or "",
                seed=seed,
                share=float(draws.uniform(*self.settings.share)),
                guidance=float(draws.uniform(*self.settings.guidance)),
                photo=photo,
            )

    def _made(self, pairs: Sequence[Pair]) -> Iterator[MadePair]:
        size = self.settings.batch
        current_worker().expect(self.deadline)
        for start in range(0, len(pairs), size):
            chunk = pairs[start : start + size]
            filled = [*chunk, *[chunk[-1]] * (size - len(chunk))]
            with explained_memory(2 * size, (self.side, self.side)):
                made = self._model.make(filled, self._sampling, current_worker().beat)
            yield from made[: len(chunk)]

    def _attempt(self, sample: EditSample, number: int, pair: Pair, made: MadePair) -> Attempt:
        kept = sample.source if self._sampling.keeps_photo else None
        own = replace(
            sample,
            id=f"{sample.id}/{number}" if self.settings.candidates > 1 else sample.id,
            source=kept or Image(encode_png(made.source)),
            target=Image(encode_png(made.target)),
            mask=None,  # the whole target is made
            scores={},
            provenance=self._provenance(sample, pair, made),
        )
        if np.array_equal(made.source, made.target):
            reason = "its target is its source"
            return Attempt(own, EditOutcome.UNCHANGED, number, reason=reason)
        return Attempt(own, EditOutcome.EDITED, number, chosen=True)

    def _provenance(self, sample: EditSample, pair: Pair, made: MadePair) -> Provenance:
        before = sample.provenance or Provenance("", "")
        acted = {"self": made.controlled.itself}
        if self.settings.mode == "hertz":
            acted["cross"] = made.controlled.cross
        drawn = {
            "size": self.side,
            "share": pair.share,
            "guidance": pair.guidance,
            "effective_steps": self.settings.effective_steps,
            "controlled_steps": acted,
        }
        captions = {"source": pair.source, "target": pair.target}
        kept = self._model.texts.kept
        if cut := [name for name, text in captions.items() if kept(text) < len(text)]:
            drawn["cut_captions"] = cut
        return Provenance(
            f"{self.name}:{self.settings.model}",
            self.version,
            seed=pair.seed,
            parameters={**before.parameters, **self.parameters, **drawn},
            licence=before.licence,
            source_uri=before.source_uri,
        )

    @cached_property
    def _digest(self) -> str:
        return weights_digest(weights.find(self.settings.model))

    @cached_property
    def _sampling(self) -> Sampling:
        sampling: Sampling = self.settings.sampling(self.side)
        return sampling

    @cached_property
    def side(self) -> int:
        """The side of the pictures; RecipeError if the model makes none of this size."""
        side: int = self.settings.size or self._model.native
        factor = self._model.autoencoder.factor
        if side % factor:
            raise RecipeError(
                "this model makes no pictures of this size",
                value=f"size: {side}",
                fix=f"set a multiple of {factor}",
            )
        return side

    @cached_property
    def _model(self) -> PairModel:
        folder = weights.find(self.settings.model)
        made = StableDiffusionXLPipeline if is_xl(folder) else StableDiffusionPipeline
        with quietly():
            pipeline = load_pipeline(made, folder, self.settings.precision)
        check_channels(pipeline, 4)
        return PairModel(pipeline, scheduler_like("euler-ancestral", pipeline.scheduler))


def _outcome(attempts: Sequence[Attempt]) -> Outcome:
    rejected = tuple(each for each in attempts if not each.chosen)
    kept = tuple(each.sample for each in attempts if each.chosen)
    return Keep(kept, rejected) if kept else Drop("no candidate changes its source", rejected)
