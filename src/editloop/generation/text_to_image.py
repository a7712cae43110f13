"""The generator `text-to-image`: any text-to-image pipeline of diffusers, on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from diffusers.pipelines.auto_pipeline import AUTO_TEXT2IMAGE_PIPELINES_MAPPING
from pydantic import Field

from editloop.editors.images_api import picture_size
from editloop.editors.pipelines import pictures_of
from editloop.editors.records import Edited
from editloop.errors import RecipeError, UnavailableError
from editloop.generation.picturing import Caption
from editloop.hub import weights
from editloop.kernel.resources import Resources
from editloop.models.pipeline_loading import load_pipeline, model_index, quietly, weights_digest
from editloop.schema import Json, Unedited
from editloop.settings import Settings as BaseSettings
from editloop.storage.records import fingerprint

__all__ = ["TextToImageGenerator", "TextToImageSettings"]

_PIPELINES = {each.__name__: each for each in AUTO_TEXT2IMAGE_PIPELINES_MAPPING.values()}


class TextToImageSettings(BaseSettings):
    """A text-to-image pipeline's weights and how it is run; what is left out is its default."""

    target: str = Field(description="a folder in diffusers layout, or its name on the hub")
    precision: Literal["fp32", "bf16", "fp16"] = Field(
        default="fp32", description="dtype of the networks"
    )
    size: str | None = Field(
        default=None,
        pattern=r"^[1-9]\d{0,4}x[1-9]\d{0,4}$",
        description="WIDTHxHEIGHT; left out, the model's own",
    )
    steps: int | None = Field(default=None, ge=1, le=1000, description="denoising steps")
    text_guidance: float | None = Field(
        default=None, ge=0, description="guidance scale of the caption"
    )
    batch: int = Field(default=1, ge=1, description="pictures made at once")


class TextToImageGenerator:
    """A generator around one diffusers pipeline; its weights are loaded at the first caption.

    Every call of the pipeline gets `batch` captions, padded with copies, and each picture has its
    own noise from the CPU: it depends neither on the other captions nor on the device.
    """

    Settings = TextToImageSettings
    resources = Resources(gpus=1, gpu_optional=True)

    def __init__(self, settings: TextToImageSettings) -> None:
        self._settings = settings
        self.name = f"text-to-image:{settings.target}"

    @cached_property
    def fingerprint(self) -> str:
        """The digest of the weights and the settings, but not of the weights' location."""
        settings = self._settings
        parts = {
            "version": "1",
            "files": weights_digest(weights.find(settings.target)),
            "settings": settings.model_dump(mode="json", exclude={"target"}),
        }
        return fingerprint(parts)

    def missing(self) -> UnavailableError | None:
        """Return why the pipeline cannot run on this machine, or None; loads no weights."""
        try:
            model_index(weights.find(self._settings.target))
        except UnavailableError as error:
            return error
        return None

    def generate(self, captions: Sequence[Caption]) -> list[Edited | Unedited]:
        """Return a picture for each caption, with its size in the record."""
        made: list[Edited | Unedited] = []
        batch = self._settings.batch
        for start in range(0, len(captions), batch):
            chunk = list(captions[start : start + batch])
            pictures = self._run([*chunk, *[chunk[-1]] * (batch - len(chunk))])
            made += pictures[: len(chunk)]
        return made

    def _run(self, captions: Sequence[Caption]) -> list[Edited]:
        settings = self._settings
        given: dict[str, Json] = {
            "num_inference_steps": settings.steps,
            "guidance_scale": settings.text_guidance,
        }
        if settings.size is not None:
            given["width"], given["height"] = map(int, settings.size.split("x"))
        values = self._pipeline(
            prompt=[each.text for each in captions],
            generator=[torch.Generator().manual_seed(each.seed) for each in captions],
            output_type="np",
            **{name: value for name, value in given.items() if value is not None},
        ).images
        pictures = [np.asarray(each) for each in pictures_of(values)]
        return [Edited(each, {"size_got": picture_size(each.shape)}) for each in pictures]

    @cached_property
    def _pipeline(self) -> Any:
        folder = weights.find(self._settings.target)
        with quietly():
            return load_pipeline(_pipeline_of(folder), folder, self._settings.precision)


def _pipeline_of(folder: Path) -> Any:
    """Return the class of a folder's pipeline; RecipeError if it makes no pictures from text."""
    name = model_index(folder).get("_class_name")
    if name not in _PIPELINES:
        raise RecipeError(
            "this pipeline makes no pictures from text alone",
            value=f"{folder} ({name})",
            fix="name a text-to-image model, such as stabilityai/sdxl-turbo",
        )
    return _PIPELINES[name]
