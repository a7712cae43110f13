"""The editor `flux-kontext`: FLUX.1 Kontext, which edits by instructions, through diffusers.

Black Forest Labs, "FLUX.1 Kontext: Flow Matching for In-Context Image Generation and Editing in
Latent Space" (2025).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from diffusers import FluxKontextPipeline
from PIL import Image
from pydantic import Field

from editloop.editors.effects import check_guidance_input
from editloop.editors.geometry import Size, nearest_in_shape
from editloop.editors.pipelines import (
    PipelineEditor,
    PipelineSettings,
    SizedRequest,
    pictures_of,
    working_size,
)
from editloop.models.backbones.families import FAMILIES
from editloop.models.pipeline_loading import load_pipeline

__all__ = ["FluxKontextEditor", "FluxKontextSettings"]

_DEFAULTS = FAMILIES["flux-kontext"].editing
_GUIDANCE = _DEFAULTS.guidance or 0.0


class FluxKontextSettings(PipelineSettings):
    """The released model's settings; the default `size` is the nearest that it was trained on.

    `guidance` is a distilled input of the network, not a protocol's text guidance.
    """

    steps: int = Field(default=_DEFAULTS.steps, ge=1, description="denoising steps")
    guidance: float = Field(default=_GUIDANCE, ge=0, description="distilled guidance scale")
    text_length: int = Field(default=512, ge=1, description="tokens of the instruction read by T5")
    batch: int = Field(default=1, ge=1, description="pictures edited at once")


class FluxKontextEditor(PipelineEditor[FluxKontextSettings]):
    """FLUX.1 Kontext, guided by the instruction; it takes no mask and no captions."""

    Settings = FluxKontextSettings
    kind = "flux-kontext"
    version = "1"

    def batch(self, settings: FluxKontextSettings) -> int:
        return settings.batch

    def load(self, folder: Path) -> Any:
        if "guidance" in self._settings.model_fields_set:
            check_guidance_input(folder, self.name)
        return load_pipeline(FluxKontextPipeline, folder, self._settings.precision)

    def working_size(
        self, pipeline: Any, height: int, width: int, settings: FluxKontextSettings
    ) -> Size:
        if settings.size is not None:
            return working_size(
                pipeline, height, width, settings.size, 2 * pipeline.vae_scale_factor
            )
        return nearest_in_shape(height, width, _DEFAULTS.sizes)

    def run(
        self, pipeline: Any, jobs: Sequence[SizedRequest], settings: FluxKontextSettings
    ) -> list[Image.Image]:
        height, width = jobs[0].mask.shape
        values = pipeline(
            image=[job.picture for job in jobs],
            prompt=[job.request.instruction for job in jobs],
            height=height,
            width=width,
            max_area=height * width,
            num_inference_steps=settings.steps,
            guidance_scale=settings.guidance,
            max_sequence_length=settings.text_length,
            generator=[job.generator() for job in jobs],
            _auto_resize=False,  # the pictures have their size already
            output_type="np",
        ).images
        return pictures_of(values)
