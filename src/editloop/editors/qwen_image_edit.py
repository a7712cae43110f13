"""The editor `qwen-image-edit`: Qwen-Image-Edit, which edits by instructions, through diffusers.

Wu et al., "Qwen-Image Technical Report" (2025). Both pipelines of the family are supported, the
first release's and the later ones' ("Plus"); the folder's index decides which is loaded.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from diffusers import QwenImageEditPipeline, QwenImageEditPlusPipeline
from diffusers.pipelines.qwenimage.pipeline_qwenimage_edit_plus import calculate_dimensions
from PIL import Image
from pydantic import Field
from transformers import BatchFeature
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from editloop.editors.geometry import Size
from editloop.editors.pipelines import (
    PipelineEditor,
    PipelineSettings,
    SizedRequest,
    pictures_of,
    working_size,
)
from editloop.hub import weights
from editloop.hub.pretrained import load_pretrained
from editloop.models.pipeline_loading import load_pipeline, model_index

__all__ = ["PictureTextProcessor", "QwenImageEditEditor", "QwenImageEditSettings"]

_PIPELINES = {each.__name__: each for each in (QwenImageEditPipeline, QwenImageEditPlusPipeline)}
_AREA = 1024 * 1024  # pixels at which the pipelines work by default
_PLACE = "<|image_pad|>"  # the placeholder of a picture's tokens


class QwenImageEditSettings(PipelineSettings):
    """The released model's settings; by default `size` keeps the aspect ratio at one megapixel.

    `guidance` is specific to this model, not a protocol's text guidance.
    """

    steps: int = Field(default=50, ge=1, description="denoising steps")
    guidance: float = Field(
        default=4.0, ge=1, description="guidance scale of the instruction, against an empty one"
    )


class QwenImageEditEditor(PipelineEditor[QwenImageEditSettings]):
    """Qwen-Image-Edit, guided by the instruction; it takes no mask and no captions.

    The later releases ("Plus") also take reference pictures.
    """

    Settings = QwenImageEditSettings
    kind = "qwen-image-edit"
    version = "2"

    @property
    def uses_references(self) -> bool:  # type: ignore[override]
        """True for the later releases, whose pipeline takes several pictures."""
        return self._made(weights.find(self._settings.target)) is QwenImageEditPlusPipeline

    @staticmethod
    def _made(folder: Path) -> type[Any]:
        name = model_index(folder)["_class_name"]
        made: type[Any] = _PIPELINES.get(name, QwenImageEditPipeline)
        return made

    def load(self, folder: Path) -> Any:
        made = self._made(folder)
        pipeline = load_pipeline(made, folder, self._settings.precision, processor=None)
        pictures = load_pretrained(Qwen2VLImageProcessorPil, folder, subfolder="processor")
        pipeline.processor = PictureTextProcessor(pictures, pipeline.tokenizer)
        return pipeline

    def working_size(
        self, pipeline: Any, height: int, width: int, settings: QwenImageEditSettings
    ) -> Size:
        if settings.size is None:
            return height, width  # the pipeline scales the picture itself
        return working_size(pipeline, height, width, settings.size, 2 * pipeline.vae_scale_factor)

    def run(
        self, pipeline: Any, jobs: Sequence[SizedRequest], settings: QwenImageEditSettings
    ) -> list[Image.Image]:
        return [_edited(pipeline, job, settings) for job in jobs]


class PictureTextProcessor:
    """Qwen2-VL's processor for pictures and texts, with Pillow.

    The library's own processor also reads videos and therefore needs torchvision.
    """

    def __init__(self, pictures: Any, tokenizer: Any) -> None:
        self._pictures = pictures
        self._tokenizer = tokenizer

    def __call__(self, *, text: Sequence[str], images: Any, **others: Any) -> BatchFeature:
        """Return the token ids, with one placeholder per picture token, and the patches."""
        seen = self._pictures(images=images, return_tensors="pt")
        tokens = iter((seen["image_grid_thw"].prod(dim=1) // self._pictures.merge_size**2).tolist())
        filled = [re.sub(re.escape(_PLACE), lambda _: _PLACE * next(tokens), each) for each in text]
        return BatchFeature({**self._tokenizer(filled, **others), **seen})


def _edited(pipeline: Any, job: SizedRequest, settings: QwenImageEditSettings) -> Image.Image:
    height, width = (None, None) if settings.size is None else job.mask.shape
    image = Image.fromarray(job.request.image)  # the pipeline resizes it itself
    further = list(map(Image.fromarray, job.request.references))
    if further and settings.size is None:  # by itself it takes the shape of the last picture
        width, height = calculate_dimensions(_AREA, image.width / image.height)
    values = pipeline(
        image=[image, *further] if further else image,
        prompt=job.request.instruction,
        negative_prompt=" ",
        height=height,
        width=width,
        num_inference_steps=settings.steps,
        true_cfg_scale=settings.guidance,
        generator=job.generator(),
        output_type="np",
    ).images
    return pictures_of(values)[0]
