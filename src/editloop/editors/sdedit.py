"""The editor `sdedit`: add noise to the picture, and denoise it by its target caption.

Meng et al., "SDEdit: Guided Image Synthesis and Editing with Stochastic Differential Equations"
(2022), with Stable Diffusion (1, 2 or XL) through diffusers' image-to-image pipelines.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from diffusers import StableDiffusionImg2ImgPipeline, StableDiffusionXLImg2ImgPipeline
from PIL import Image

from editloop.editors.pipelines import DenoisedSettings, PipelineEditor, SizedRequest, pictures_of
from editloop.models.pipeline_loading import check_channels, is_xl, load_pipeline

__all__ = ["SDEditEditor", "SDEditSettings"]


class SDEditSettings(DenoisedSettings):
    """Settings of the noising and denoising."""


class SDEditEditor(PipelineEditor[SDEditSettings]):
    """SDEdit, guided by the target caption; it needs no mask and no source caption."""

    Settings = SDEditSettings
    kind = "sdedit"
    version = "1"
    captions = ("target",)

    def batch(self, settings: SDEditSettings) -> int:
        return settings.batch

    def load(self, folder: Path) -> Any:
        made = StableDiffusionXLImg2ImgPipeline if is_xl(folder) else StableDiffusionImg2ImgPipeline
        pipeline = load_pipeline(made, folder, self._settings.precision)
        check_channels(pipeline, 4)
        return pipeline

    def run(
        self, pipeline: Any, jobs: Sequence[SizedRequest], settings: SDEditSettings
    ) -> list[Image.Image]:
        values = pipeline(
            prompt=[job.target for job in jobs],
            image=[job.picture for job in jobs],
            strength=settings.strength,
            num_inference_steps=settings.steps,
            guidance_scale=settings.text_guidance,
            generator=[job.generator() for job in jobs],
            output_type="np",
        ).images
        return pictures_of(values)
