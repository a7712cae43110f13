"""What editors around a diffusers pipeline have in common: settings, sizes, seeds and batches.

An adapter says how its pipeline is loaded and called; `PipelineEditor` does the rest.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field, model_validator

from editloop.editors.geometry import Filter, Size, Sizing, fitted, resized
from editloop.editors.memory import explained_memory
from editloop.errors import RecipeError, UnavailableError
from editloop.hub import weights
from editloop.images.codec import MAX_PIXELS
from editloop.models.masks import resized_mask
from editloop.models.pipeline_loading import model_index, quietly, weights_digest
from editloop.schema import EditRequest, Mask, Pixels, Unedited
from editloop.settings import Settings as BaseSettings
from editloop.settings import validate
from editloop.storage.records import fingerprint

__all__ = [
    "DenoisedSettings",
    "PipelineEditor",
    "PipelineSettings",
    "SizedRequest",
    "pictures_of",
    "stepped",
    "working_size",
]

_NEVER_ASKED = {"target", "precision", "batch"}  # of the machine, not of the protocol


class PipelineSettings(BaseSettings):
    """A diffusers pipeline's weights, and the size and precision they work in.

    A protocol's settings stand in for what isn't set here, key by key, where the editor has a
    setting of that name.
    """

    target: str = Field(description="a folder in diffusers layout, or its name on the hub")
    precision: Literal["fp32", "bf16", "fp16"] = Field(
        default="fp32", description="what the networks compute in"
    )
    size: Sizing | None = Field(
        default=None, description="the size to work at; left out, the model's own"
    )


class DenoisedSettings(PipelineSettings):
    """A picture noised part of the way, then denoised by a caption."""

    strength: float = Field(
        default=0.5, gt=0, le=1, description="how far the picture is noised, of the whole way"
    )
    steps: int = Field(
        default=50, ge=1, description="denoising steps of the whole way; strength x steps are run"
    )
    text_guidance: float = Field(default=7.5, ge=1, description="guidance scale of the caption")
    batch: int = Field(default=1, ge=1, description="pictures edited at once")

    @model_validator(mode="after")
    def _runs_a_step(self) -> Self:
        if int(self.steps * self.strength) < 1:
            raise ValueError(f"strength {self.strength} of {self.steps} steps is none")
        return self


_Settings = TypeVar("_Settings", bound=PipelineSettings)


@dataclass(frozen=True, slots=True, eq=False)
class SizedRequest:
    """A request at its working size: [h, w, 3] and, the same geometry, the mask [h, w]."""

    request: EditRequest
    image: Pixels
    mask: Mask

    @property
    def picture(self) -> Image.Image:
        """The image as pipelines take it."""
        return Image.fromarray(self.image)

    @property
    def region(self) -> Image.Image:
        """The mask as pipelines take it; white is where editing is allowed."""
        return Image.fromarray(self.mask)

    @property
    def target(self) -> str:
        """The target caption."""
        assert self.request.captions.target is not None  # refused before
        return self.request.captions.target

    @property
    def source(self) -> str:
        """The source caption."""
        assert self.request.captions.source is not None  # refused before
        return self.request.captions.source

    def generator(self) -> torch.Generator:
        """A fresh generator from the request's seed; on the CPU, so every device draws alike."""
        return torch.Generator().manual_seed(self.request.seed)


class PipelineEditor(ABC, Generic[_Settings]):
    """An editor around one diffusers pipeline; the weights load with the first request.

    Requests are grouped by working size and settings. Every call of the pipeline gets `batch` of
    them, filled up if need be, so an answer doesn't depend on what else is asked.
    """

    kind: ClassVar[str]
    version: ClassVar[str]
    captions: ClassVar[tuple[str, ...]] = ()  # those it edits by: "source", "target"
    uses_mask: ClassVar[bool] = False

    def __init__(self, settings: _Settings) -> None:
        self._settings = settings

    @abstractmethod
    def load(self, folder: Path) -> Any:
        """The pipeline in a folder."""

    @abstractmethod
    def run(
        self, pipeline: Any, jobs: Sequence[SizedRequest], settings: _Settings
    ) -> list[Image.Image]:
        """The edited pictures of some jobs of one size."""

    def batch(self, settings: _Settings) -> int:  # noqa: ARG002
        """How many requests `run` is given at a time."""
        return 1

    @property
    def at_once(self) -> int:
        """How many requests are best asked together; fewer are filled up."""
        return self.batch(self._settings)

    def working_size(self, pipeline: Any, height: int, width: int, settings: _Settings) -> Size:
        """Height and width to work at for a picture of a size."""
        return working_size(pipeline, height, width, settings.size)

    @property
    def name(self) -> str:
        return f"{self.kind}:{self._settings.target}"

    @property
    def weights(self) -> tuple[str, ...]:
        return (self._settings.target,)

    def missing(self) -> UnavailableError | None:
        """Why the editor cannot run here, if so; looks, and loads nothing."""
        try:
            model_index(weights.find(self._settings.target))
        except UnavailableError as error:
            return error
        return None

    @cached_property
    def fingerprint(self) -> str:
        """From the weights and the settings; where the weights lie is no matter.

        Which settings were set counts too: a protocol stands in for those that weren't.
        """
        parts = {
            "kind": self.kind,
            "version": self.version,
            "files": weights_digest(weights.find(self._settings.target)),
            "settings": self._settings.model_dump(mode="json", exclude={"target"}),
            "set": sorted(self._settings.model_fields_set),
        }
        return fingerprint(parts)

    def edit(self, requests: Sequence[EditRequest]) -> list[Pixels | Unedited]:
        """An edit of each request, in the size of its image."""
        answers: dict[int, Pixels | Unedited] = {}
        groups: dict[tuple[Size, _Settings], list[int]] = defaultdict(list)
        for index, request in enumerate(requests):
            absent = [each for each in self.captions if not getattr(request.captions, each)]
            if absent:
                answers[index] = Unedited(
                    f"no {absent[0]} caption: {self.kind} edits by descriptions, not instructions"
                )
                continue
            settings = self._asked(request)
            height, width = request.image.shape[:2]
            size = self.working_size(self._pipeline, height, width, settings)
            if size[0] * size[1] > MAX_PIXELS:
                answers[index] = Unedited(f"too large to work on: {size[1]}x{size[0]} pixels")
            else:
                groups[size, settings].append(index)
        for (size, settings), indices in groups.items():
            edited = self._edited([requests[index] for index in indices], size, settings)
            answers.update(zip(indices, edited, strict=True))
        return [answers[index] for index in range(len(requests))]

    def _asked(self, request: EditRequest) -> _Settings:
        """The editor's own settings, then the protocol's, then the defaults."""
        known = type(self._settings).model_fields.keys() - _NEVER_ASKED
        card = {key: value for key, value in request.settings.items() if key in known}
        own = self._settings.model_dump(exclude_unset=True)
        return validate(type(self._settings), {**card, **own}, where=f"settings of {self.name}")

    def _edited(
        self, requests: Sequence[EditRequest], size: Size, settings: _Settings
    ) -> Iterator[Pixels]:
        resampling: Filter = "lanczos" if settings.size is None else settings.size.filter
        batch = self.batch(settings)
        for start in range(0, len(requests), batch):
            chunk = requests[start : start + batch]
            with explained_memory(batch, size):
                jobs = [_job(request, size, resampling) for request in chunk]
                filled = [*jobs, *[jobs[-1]] * (batch - len(jobs))]
                pictures = self.run(self._pipeline, filled, settings)
            for request, picture in zip(chunk, pictures, strict=False):
                yield resized(np.asarray(picture), request.image.shape[:2], resampling)

    @cached_property
    def _pipeline(self) -> Any:
        folder = weights.find(self._settings.target)
        with quietly():
            return self.load(folder)


def pictures_of(values: NDArray[np.floating[Any]]) -> list[Image.Image]:
    """The pictures of a pipeline's `np` output, [batch, h, w, 3] in 0..1.

    Raises RecipeError for values that are no numbers, which a coarse precision may lead to.
    """
    if not np.isfinite(values).all():
        raise RecipeError("the network's values overflow", fix="write precision=fp32")
    return [Image.fromarray(each) for each in (values * 255).round().astype(np.uint8)]


def working_size(
    pipeline: Any, height: int, width: int, sizing: Sizing | None, multiple: int = 1
) -> Size:
    """Height and width by a rule, in multiples that the autoencoder (and `multiple`) can take too.

    Left out, the rule is: the long side that the UNet was trained for, in multiples of 64.
    """
    if sizing is None:
        native = pipeline.unet.config.sample_size * pipeline.vae_scale_factor
        sizing = Sizing(long_side=native, multiple=64)
    return fitted(height, width, stepped(sizing, math.lcm(pipeline.vae_scale_factor, multiple)))


def stepped(sizing: Sizing, multiple: int) -> Sizing:
    """The rule with sides that are multiples of a network's steps too."""
    return sizing.model_copy(update={"multiple": math.lcm(sizing.multiple, multiple)})


def _job(request: EditRequest, size: Size, resampling: Filter) -> SizedRequest:
    mask = request.mask
    if mask is None or not mask.any():
        region = np.full(size, 255, np.uint8)
    else:
        region = resized_mask(mask, size)
    return SizedRequest(request, resized(request.image, size, resampling), region)
