"""The editor `ledits++`: invert the picture exactly, then guide it by the target caption.

Brack et al., "LEDITS++: Limitless Image Editing using Text-to-Image Models" (2024), with Stable
Diffusion (1, 2 or XL) through diffusers' pipelines of that name: an edit-friendly inversion of a
second-order SDE solver, and guidance that acts where both cross-attention and the noise estimate
point.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from diffusers import (
    DPMSolverMultistepScheduler,
    LEditsPPPipelineStableDiffusion,
    LEditsPPPipelineStableDiffusionXL,
)
from PIL import Image
from pydantic import Field

from editloop.editors.geometry import Size
from editloop.editors.pipelines import (
    PipelineEditor,
    PipelineSettings,
    SizedRequest,
    pictures_of,
    working_size,
)
from editloop.models.pipeline_loading import check_channels, is_xl, load_pipeline

__all__ = ["LeditsEditor", "LeditsSettings"]

_MULTIPLE = 32  # the pipeline's sides must be multiples of this


class LeditsSettings(PipelineSettings):
    """Settings of the inversion, and of the caption's guidance.

    The names are the method's own: a protocol's steps and guidance mean something else.
    """

    inversion_steps: int = Field(default=50, ge=2, description="steps of inversion and denoising")
    skip: float = Field(
        default=0.15, ge=0, lt=1, description="share of noisiest steps skipped; less: larger edits"
    )
    edit_guidance: float = Field(default=5.0, description="guidance scale of the target caption")
    threshold: float = Field(
        default=0.9, ge=0, lt=1, description="share of the picture that is left unchanged"
    )
    warmup: int = Field(default=0, ge=0, description="first steps without guidance")


class LeditsEditor(PipelineEditor[LeditsSettings]):
    """LEDITS++: the target caption is its only editing prompt; the inversion uses no text."""

    Settings = LeditsSettings
    kind = "ledits++"
    version = "1"
    captions = ("target",)

    def load(self, folder: Path) -> Any:
        made = (
            LEditsPPPipelineStableDiffusionXL if is_xl(folder) else LEditsPPPipelineStableDiffusion
        )
        pipeline = load_pipeline(made, folder, self._settings.precision)
        check_channels(pipeline, 4)
        pipeline.scheduler = DPMSolverMultistepScheduler.from_config(
            pipeline.scheduler.config, algorithm_type="sde-dpmsolver++", solver_order=2
        )
        return pipeline

    def working_size(
        self, pipeline: Any, height: int, width: int, settings: LeditsSettings
    ) -> Size:
        return working_size(pipeline, height, width, settings.size, _MULTIPLE)

    def run(
        self, pipeline: Any, jobs: Sequence[SizedRequest], settings: LeditsSettings
    ) -> list[Image.Image]:
        return [_edited(pipeline, job, settings) for job in jobs]


def _edited(pipeline: Any, job: SizedRequest, settings: LeditsSettings) -> Image.Image:
    generator = job.generator()
    pipeline.invert(
        image=job.picture,
        num_inversion_steps=settings.inversion_steps,
        skip=settings.skip,
        generator=generator,
    )
    values = pipeline(
        editing_prompt=[job.target],
        edit_guidance_scale=settings.edit_guidance,
        edit_threshold=settings.threshold,
        edit_warmup_steps=settings.warmup,
        generator=generator,
        output_type="np",
    ).images
    return pictures_of(values)[0]
