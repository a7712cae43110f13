"""Common code of editors around a diffusers pipeline: settings, sizes, seeds and batches.

A subclass of `PipelineEditor` loads and calls its pipeline; the base class does the rest.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field, model_validator

from editloop.editors import geometry
from editloop.editors.geometry import Size, Sizing, fitted, fitted_mask, fitted_picture
from editloop.editors.memory import explained_memory
from editloop.editors.requests import UNSEEN, sees
from editloop.errors import RecipeError, UnavailableError
from editloop.hub import weights
from editloop.images.codec import MAX_PIXELS
from editloop.images.masks import NOWHERE, is_nowhere
from editloop.models.pipeline_loading import model_index, quietly, weights_digest
from editloop.schema import EditRequest, Json, Mask, Pixels, Unedited
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

_NEVER_ASKED = {"target", "precision", "batch"}  # a protocol never sets these


class PipelineSettings(BaseSettings):
    """A diffusers pipeline's weights, working size and precision.

    A setting that is not given here takes a protocol's value if the editor has a setting of that
    name.
    """

    target: str = Field(description="a folder in diffusers layout, or its name on the hub")
    precision: Literal["fp32", "bf16", "fp16"] = Field(
        default="fp32", description="dtype of the networks"
    )
    size: Sizing | None = Field(
        default=None, description="the working size; left out, the model's own"
    )


class DenoisedSettings(PipelineSettings):
    """Settings of editors that add noise to the picture and denoise it by a caption."""

    strength: float = Field(
        default=0.5, gt=0, le=1, description="share of the noise schedule that is added"
    )
    steps: int = Field(
        default=50, ge=1, description="steps of the full schedule; strength x steps are run"
    )
    text_guidance: float = Field(default=7.5, ge=1, description="guidance scale of the caption")
    batch: int = Field(default=1, ge=1, description="pictures edited at once")

    @model_validator(mode="after")
    def _runs_a_step(self) -> Self:
        if int(self.steps * self.strength) < 1:
            raise ValueError(f"strength {self.strength} x {self.steps} steps is less than one step")
        return self


_Settings = TypeVar("_Settings", bound=PipelineSettings)


@dataclass(frozen=True, slots=True, eq=False)
class SizedRequest:
    """A request at its working size: the image [h, w, 3] and the mask [h, w]."""

    request: EditRequest
    image: Pixels
    mask: Mask

    @property
    def picture(self) -> Image.Image:
        """The image in the form that pipelines take."""
        return Image.fromarray(self.image)

    @property
    def region(self) -> Image.Image:
        """The mask in the form that pipelines take; white where editing is allowed."""
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
        """Return a new generator with the request's seed; on the CPU, to be device-independent."""
        return torch.Generator().manual_seed(self.request.seed)


class PipelineEditor(ABC, Generic[_Settings]):
    """An editor around one diffusers pipeline; its weights are loaded at the first request.

    Requests are grouped by working size and settings. Every call of the pipeline gets `batch` of
    them, padded with copies, so an answer doesn't depend on the other requests.
    """

    kind: ClassVar[str]
    version: ClassVar[str]
    captions: ClassVar[tuple[str, ...]] = ()  # the captions it needs: "source", "target"
    uses_mask: ClassVar[bool] = False
    uses_references: ClassVar[bool] = False

    def __init__(self, settings: _Settings) -> None:
        self._settings = settings

    @abstractmethod
    def load(self, folder: Path) -> Any:
        """Load the pipeline in a folder."""

    @abstractmethod
    def run(
        self, pipeline: Any, jobs: Sequence[SizedRequest], settings: _Settings
    ) -> list[Image.Image]:
        """Return the edited pictures of some requests of one size."""

    def batch(self, settings: _Settings) -> int:  # noqa: ARG002
        """Return the number of requests that `run` gets at a time."""
        return 1

    @property
    def family(self) -> str:
        """The name by which a protocol's card says for whom its editing settings are."""
        return self.kind

    @property
    def defaults(self) -> Mapping[str, Json]:
        """Defaults of settings that depend on the model."""
        return {}

    def settled(self, card: Mapping[str, Json]) -> _Settings:
        """Return the settings of an edit by a protocol's editing settings.

        The editor's own take precedence, then the protocol's, then the defaults.
        """
        known = type(self._settings).model_fields.keys() - _NEVER_ASKED
        asked = {key: value for key, value in card.items() if key in known}
        own = self._settings.model_dump(exclude_unset=True)
        return validate(
            type(self._settings),
            {**self.defaults, **asked, **own},
            where=f"settings of {self.name}",
        )

    @property
    def at_once(self) -> int:
        """The number of requests that are best sent together; fewer are padded."""
        return self.batch(self._settings)

    def working_size(self, pipeline: Any, height: int, width: int, settings: _Settings) -> Size:
        """Return the working height and width for a picture of a size."""
        return working_size(pipeline, height, width, settings.size)

    @property
    def name(self) -> str:
        return f"{self.kind}:{self._settings.target}"

    @property
    def weights(self) -> tuple[str, ...]:
        return (self._settings.target,)

    def missing(self) -> UnavailableError | None:
        """Return why the editor cannot run on this machine, or None; loads no weights."""
        try:
            model_index(weights.find(self._settings.target))
        except UnavailableError as error:
            return error
        return None

    @cached_property
    def fingerprint(self) -> str:
        """The digest of the weights and the settings, but not of the weights' location.

        It also covers which settings were given: a protocol may set the others.
        """
        parts = {
            "kind": self.kind,
            "version": self.version,
            "sizing": geometry.VERSION,
            "files": weights_digest(weights.find(self._settings.target)),
            "settings": self._settings.model_dump(mode="json", exclude={"target"}),
            "set": sorted(self._settings.model_fields_set),
        }
        return fingerprint(parts)

    def edit(self, requests: Sequence[EditRequest]) -> list[Pixels | Unedited]:
        """Return an edit of each request, in the size of its image."""
        return [
            each if isinstance(each, Unedited) else self.scaled_back(each, request)
            for request, each in zip(requests, self.edit_unscaled(requests), strict=True)
        ]

    def edit_unscaled(self, requests: Sequence[EditRequest]) -> list[Pixels | Unedited]:
        """Return an edit of each request, in the working size; see `UnscaledEditor`."""
        answers: dict[int, Pixels | Unedited] = {}
        groups: dict[tuple[Size, _Settings], list[int]] = defaultdict(list)
        for index, request in enumerate(requests):
            absent = [each for each in self.captions if not getattr(request.captions, each)]
            if absent:
                answers[index] = Unedited(
                    f"no {absent[0]} caption: {self.kind} edits by descriptions, not instructions"
                )
                continue
            if not sees(self, request.references):
                answers[index] = Unedited(UNSEEN)
                continue
            if self.uses_mask and is_nowhere(request.mask):
                answers[index] = Unedited(NOWHERE)
                continue
            settings = self.settled(request.settings)
            height, width = request.image.shape[:2]
            size = (height, width)
            if not request.fitted:
                size = self.working_size(self._pipeline, height, width, settings)
            if size[0] * size[1] > MAX_PIXELS:
                answers[index] = Unedited(f"too large to work on: {size[1]}x{size[0]} pixels")
            elif self.uses_mask and is_nowhere(_region(request, size, self._sizing(settings))):
                answers[index] = Unedited("the mask lies outside of the crop to the working size")
            else:
                groups[size, settings].append(index)
        for (size, settings), indices in groups.items():
            edited = self._edited([requests[index] for index in indices], size, settings)
            answers.update(zip(indices, edited, strict=True))
        return [answers[index] for index in range(len(requests))]

    def scaled_back(self, edited: Pixels, request: EditRequest) -> Pixels:
        """Return a result of `edit_unscaled` at the size of a request's image."""
        sizing = self._sizing(self.settled(request.settings))
        return geometry.scaled_back(edited, request.image, sizing)

    @staticmethod
    def _sizing(settings: _Settings) -> Sizing:
        return settings.size or Sizing()

    def _edited(
        self, requests: Sequence[EditRequest], size: Size, settings: _Settings
    ) -> Iterator[Pixels]:
        sizing, batch = self._sizing(settings), self.batch(settings)
        for start in range(0, len(requests), batch):
            chunk = requests[start : start + batch]
            with explained_memory(batch, size):
                jobs = [_job(request, size, sizing) for request in chunk]
                filled = [*jobs, *[jobs[-1]] * (batch - len(jobs))]
                pictures = self.run(self._pipeline, filled, settings)
            yield from map(np.asarray, pictures[: len(chunk)])

    @cached_property
    def _pipeline(self) -> Any:
        folder = weights.find(self._settings.target)
        with quietly():
            return self.load(folder)


def pictures_of(values: NDArray[np.floating[Any]]) -> list[Image.Image]:
    """Convert a pipeline's `np` output, [batch, h, w, 3] in 0..1, to pictures.

    Raises RecipeError for NaN and infinite values, which a low precision may cause.
    """
    if not np.isfinite(values).all():
        raise RecipeError("the network's values overflow", fix="write precision=fp32")
    return [Image.fromarray(each) for each in (values * 255).round().astype(np.uint8)]


def working_size(
    pipeline: Any, height: int, width: int, sizing: Sizing | None, multiple: int = 1
) -> Size:
    """Return the height and width by a rule, as multiples of the autoencoder's and `multiple`.

    The default rule is the long side that the UNet was trained for, in multiples of 64.
    """
    if sizing is None:
        native = pipeline.unet.config.sample_size * pipeline.vae_scale_factor
        sizing = Sizing(long_side=native, multiple=64)
    return fitted(height, width, stepped(sizing, math.lcm(pipeline.vae_scale_factor, multiple)))


def stepped(sizing: Sizing, multiple: int) -> Sizing:
    """Return the rule with sides that are also multiples of `multiple`."""
    return sizing.model_copy(update={"multiple": math.lcm(sizing.multiple, multiple)})


def _job(request: EditRequest, size: Size, sizing: Sizing) -> SizedRequest:
    image, region = fitted_picture(request.image, size, sizing), _region(request, size, sizing)
    return SizedRequest(request, image, region)


def _region(request: EditRequest, size: Size, sizing: Sizing) -> Mask:
    """Return the mask at the working size; white everywhere if there is none."""
    mask = request.mask
    if mask is None or is_nowhere(mask):  # a black one is left to editors that take no mask
        return np.full(size, 255, np.uint8)
    return fitted_mask(mask, size, sizing)
