"""The editor `null-text`: null-text inversion of the picture, then prompt-to-prompt.

Mokady et al., "Null-text Inversion for Editing Real Images using Guided Diffusion Models" (2022):
DDIM inversion with the source caption, an empty text optimised at each step until sampling
reconstructs the picture, and Hertz et al.'s "Prompt-to-Prompt" from the source caption to the
target caption. diffusers has no pipeline for it, so Stable Diffusion's parts are used directly.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from diffusers import StableDiffusionPipeline
from PIL import Image
from pydantic import Field, model_validator
from torch import Tensor

from editloop.editors.pipelines import PipelineEditor, PipelineSettings, SizedRequest, pictures_of
from editloop.models.attention import PairControl, controlled, hertz_control, sample_pairs
from editloop.models.inversion import NullText, invert, null_texts
from editloop.models.local_blend import LocalBlend, coarse_size
from editloop.models.pipeline_loading import check_channels, ddim_of, load_pipeline
from editloop.models.prompts import Spelled, changed_tokens, prompt_edit, refinement, spelled

__all__ = ["NullTextEditor", "NullTextSettings"]


class NullTextSettings(PipelineSettings):
    """The released code's settings for inversion and for prompt-to-prompt."""

    steps: int = Field(default=50, ge=2, description="DDIM steps, in both directions")
    text_guidance: float = Field(default=7.5, ge=1, description="guidance scale of the captions")
    iterations: int = Field(
        default=10, ge=0, description="most gradient steps on the empty text at each DDIM step"
    )
    enough: float = Field(
        default=1e-5, ge=0, description="squared error at which the first DDIM step's end early"
    )
    edit: Literal["auto", "refine"] = Field(
        default="auto",
        description="refine: words in both captions take the source's attention; auto: if the "
        "captions have equally many words, each word takes that of the word in its place, "
        "otherwise refine",
    )
    cross: float = Field(
        default=0.8, ge=0, le=1, description="share of the steps with the source's cross-attention"
    )
    itself: float = Field(
        default=0.5, ge=0, le=1, description="share of the steps with the source's self-attention"
    )
    local: bool = Field(default=True, description="keep the picture where no changed word attends")

    @model_validator(mode="after")
    def _have_effects(self) -> NullTextSettings:
        if self.iterations == 0 and "enough" in self.model_fields_set:
            raise ValueError("`enough` has no effect with `iterations` 0: leave it out")
        return self


class NullTextEditor(PipelineEditor[NullTextSettings]):
    """Null-text inversion with prompt-to-prompt: from the source caption to the target caption.

    It uses no randomness: a request's seed changes nothing.
    """

    Settings = NullTextSettings
    kind = "null-text"
    version = "2"
    captions = ("source", "target")

    def load(self, folder: Path) -> Any:
        pipeline = load_pipeline(StableDiffusionPipeline, folder, self._settings.precision)
        check_channels(pipeline, 4)
        pipeline.scheduler = ddim_of(pipeline)
        for network in (pipeline.unet, pipeline.vae, pipeline.text_encoder):
            network.requires_grad_(False)
        return pipeline

    def run(
        self, pipeline: Any, jobs: Sequence[SizedRequest], settings: NullTextSettings
    ) -> list[Image.Image]:
        with torch.enable_grad():
            return [_edited(pipeline, job, settings) for job in jobs]


def _edited(pipeline: Any, job: SizedRequest, settings: NullTextSettings) -> Image.Image:
    def predict(latents: Tensor, timestep: Tensor, text: Tensor) -> Tensor:
        states, embedded = latents.to(pipeline.dtype), text.to(pipeline.dtype)
        noise: Tensor = pipeline.unet(states, timestep, encoder_hidden_states=embedded).sample
        return noise.float()

    scheduler = pipeline.scheduler
    scheduler.set_timesteps(settings.steps, device=pipeline.device)
    latents = _encoded(pipeline, job)
    empty, source, target = _embedded(pipeline, ["", job.source, job.target])[:, None].float()
    path = invert(predict, latents, source, scheduler)
    chosen = NullText(settings.text_guidance, settings.iterations, enough=settings.enough)
    found = null_texts(predict, path, (empty, source), scheduler, chosen)
    control = _control(pipeline, job, settings, latents)

    def guided(step: int, pair: Tensor, timestep: Tensor) -> Tensor:
        texts = torch.cat([found[step], found[step], source, target])
        unconditional, conditional = predict(torch.cat([pair, pair]), timestep, texts).chunk(2)
        return unconditional + settings.text_guidance * (conditional - unconditional)

    with torch.no_grad(), controlled(pipeline.unet, control):
        start = path[-1].repeat_interleave(2, dim=0)
        pair = sample_pairs(guided, scheduler, start, control=control)
    return _decoded(pipeline, pair[1:])


def _control(
    pipeline: Any, job: SizedRequest, settings: NullTextSettings, latents: Tensor
) -> PairControl:
    source, target = (spelled(pipeline.tokenizer, text) for text in (job.source, job.target))
    size = latents.shape[-2], latents.shape[-1]
    edit = refinement if settings.edit == "refine" else prompt_edit
    return PairControl(
        [hertz_control(settings.steps, settings.cross, settings.itself)],
        [edit(source, target)],
        most=math.prod(coarse_size(size)),
        blend=LocalBlend(_marked(source, target), size, settings.steps) if settings.local else None,
    )


def _marked(source: Spelled, target: Spelled) -> Tensor:
    """Return the changed words of both captions, [2, tokens] of 0 or 1."""
    marks = torch.zeros(2, source.length)
    for row, places in zip(marks, changed_tokens(source, target), strict=True):
        row[list(places)] = 1
    return marks


@torch.no_grad()
def _embedded(pipeline: Any, texts: list[str]) -> Tensor:
    """Return the texts' embeddings, [texts, tokens, d]."""
    embedded: Tensor = pipeline.encode_prompt(
        texts, pipeline.device, num_images_per_prompt=1, do_classifier_free_guidance=False
    )[0]
    return embedded


@torch.no_grad()
def _encoded(pipeline: Any, job: SizedRequest) -> Tensor:
    """Return the picture's latents, [1, c, h, w]: the autoencoder's mean, in fp32."""
    picture = pipeline.image_processor.preprocess(job.picture).to(pipeline.device, pipeline.dtype)
    mean: Tensor = pipeline.vae.encode(picture).latent_dist.mode()
    latents: Tensor = mean.float() * pipeline.vae.config.scaling_factor
    return latents


@torch.no_grad()
def _decoded(pipeline: Any, latents: Tensor) -> Image.Image:
    scaled = latents.to(pipeline.dtype) / pipeline.vae.config.scaling_factor
    picture = pipeline.vae.decode(scaled).sample
    return pictures_of(pipeline.image_processor.postprocess(picture, output_type="np"))[0]
