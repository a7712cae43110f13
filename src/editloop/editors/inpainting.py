"""The editor `inpaint`: repaint the masked region by the target caption, keep the rest.

With an inpainting network (9 input channels: noise, mask and the masked picture) this is Stable
Diffusion inpainting; with a plain one (4 channels) it is blended latent diffusion (Avrahami et al.,
"Blended Latent Diffusion", 2023): after each step the latents outside the mask are replaced by the
picture's own at that noise level. diffusers' inpainting pipelines choose by the network's channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from diffusers import StableDiffusionInpaintPipeline, StableDiffusionXLInpaintPipeline
from PIL import Image
from pydantic import Field

from editloop.editors.pipelines import DenoisedSettings, PipelineEditor, SizedRequest, pictures_of
from editloop.models.pipeline_loading import check_channels, is_xl, load_pipeline

__all__ = ["InpaintEditor", "InpaintSettings"]


class InpaintSettings(DenoisedSettings):
    """Settings of the repainting."""

    strength: float = Field(
        default=1.0, gt=0, le=1, description="amount of noise; 1: the region starts from pure noise"
    )


class InpaintEditor(PipelineEditor[InpaintSettings]):
    """Inpainting by the target caption; without a mask the whole picture is edited.

    As in the published methods, the picture outside the mask also passes through the autoencoder:
    the original pixels are not pasted back.
    """

    Settings = InpaintSettings
    kind = "inpaint"
    version = "1"
    captions = ("target",)
    uses_mask = True

    def batch(self, settings: InpaintSettings) -> int:
        return settings.batch

    def load(self, folder: Path) -> Any:
        made = StableDiffusionXLInpaintPipeline if is_xl(folder) else StableDiffusionInpaintPipeline
        pipeline = load_pipeline(made, folder, self._settings.precision)
        check_channels(pipeline, 4, 9)
        return pipeline

    def run(
        self, pipeline: Any, jobs: Sequence[SizedRequest], settings: InpaintSettings
    ) -> list[Image.Image]:
        height, width = jobs[0].mask.shape
        values = pipeline(
            prompt=[job.target for job in jobs],
            image=[job.picture for job in jobs],
            mask_image=[job.region for job in jobs],
            height=height,
            width=width,
            strength=settings.strength,
            num_inference_steps=settings.steps,
            guidance_scale=settings.text_guidance,
            generator=[job.generator() for job in jobs],
            output_type="np",
        ).images
        return pictures_of(values)
