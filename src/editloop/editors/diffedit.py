"""The editor `diffedit`: find where two captions differ in the picture, and repaint there.

Couairon et al., "DiffEdit: Diffusion-based Semantic Image Editing with Mask Guidance" (2023),
through diffusers' pipeline of that name.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from diffusers import DDIMInverseScheduler
from diffusers.pipelines.deprecated import StableDiffusionDiffEditPipeline
from PIL import Image
from pydantic import Field

from editloop.editors.pipelines import PipelineEditor, PipelineSettings, SizedRequest, pictures_of
from editloop.models.pipeline_loading import check_channels, ddim_of, load_pipeline

__all__ = ["DiffEditEditor", "DiffEditSettings"]


class DiffEditSettings(PipelineSettings):
    """The paper's settings for Stable Diffusion."""

    steps: int = Field(default=50, ge=2, description="steps of the full schedule, both directions")
    text_guidance: float = Field(default=7.5, ge=1, description="guidance scale of the caption")
    encoding: float = Field(
        default=0.8, gt=0, le=1, description="share of the schedule over which it is inverted"
    )
    mask_strength: float = Field(
        default=0.5, gt=0, le=1, description="noise level at which the mask is computed"
    )
    mask_samples: int = Field(
        default=10, ge=1, description="noise samples the mask is averaged over"
    )
    mask_threshold: float = Field(
        default=3.0, gt=0, description="differences are clipped at this multiple of their mean"
    )


class DiffEditEditor(PipelineEditor[DiffEditSettings]):
    """DiffEdit: computes its mask from the target caption against the source caption.

    Without a source caption it uses the empty text instead, as in the paper. The picture is
    inverted by DDIM without any text (the paper's step 2).
    """

    Settings = DiffEditSettings
    kind = "diffedit"
    version = "1"
    captions = ("target",)

    def load(self, folder: Path) -> Any:
        pipeline = load_pipeline(StableDiffusionDiffEditPipeline, folder, self._settings.precision)
        check_channels(pipeline, 4)
        pipeline.scheduler = ddim_of(pipeline)
        pipeline.inverse_scheduler = DDIMInverseScheduler.from_config(pipeline.scheduler.config)
        return pipeline

    def run(
        self, pipeline: Any, jobs: Sequence[SizedRequest], settings: DiffEditSettings
    ) -> list[Image.Image]:
        return [_edited(pipeline, job, settings) for job in jobs]


def _edited(pipeline: Any, job: SizedRequest, settings: DiffEditSettings) -> Image.Image:
    generator = job.generator()
    mask = pipeline.generate_mask(
        image=job.picture,
        source_prompt=job.request.captions.source or "",
        target_prompt=job.target,
        num_maps_per_mask=settings.mask_samples,
        mask_encode_strength=settings.mask_strength,
        mask_thresholding_ratio=settings.mask_threshold,
        num_inference_steps=settings.steps,
        guidance_scale=settings.text_guidance,
        generator=generator,
    )
    latents = pipeline.invert(
        prompt="",
        image=job.picture,
        num_inference_steps=settings.steps,
        inpaint_strength=settings.encoding,
        guidance_scale=1.0,
        generator=generator,
    ).latents
    values = pipeline(
        prompt=job.target,
        mask_image=mask,
        image_latents=latents,
        num_inference_steps=settings.steps,
        inpaint_strength=settings.encoding,
        guidance_scale=settings.text_guidance,
        output_type="np",
    ).images
    return pictures_of(values)[0]
