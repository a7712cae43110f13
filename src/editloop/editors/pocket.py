"""The editor of a pocket model, which `editloop run` trains, with guidance and rewards."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from editloop.editors.asking import Reward, Steps
from editloop.editors.effects import check_reward_text
from editloop.errors import RecipeError
from editloop.hub.weights import file_digest
from editloop.images.codec import resize
from editloop.images.masks import NOWHERE, is_nowhere
from editloop.models.guidance import branches
from editloop.models.inputs import EditInputs
from editloop.models.pocket import PocketModel, mask_tensor
from editloop.models.sampling import noise_like, noise_schedule, sample
from editloop.models.saving import load_model
from editloop.models.tokens import to_ids
from editloop.runtime.machine import device
from editloop.schema import PERSPECTIVES, EditRequest, Json, Pixels, Unedited
from editloop.settings import Settings as BaseSettings
from editloop.storage.files import explained
from editloop.storage.records import fingerprint

__all__ = ["PocketEditor", "PocketEditorSettings"]

_VERSION = "2"
_WIDEST = 4  # the longest working side, as a multiple of the model's size


class PocketEditorSettings(BaseSettings):
    """A pocket model's folder and its editing settings.

    `reward` is the scores for following, preserving and quality, each 0 to 5, or `none` for no
    rewards. Every call of the network gets `batch` pictures, padded with copies, so an answer
    doesn't depend on the other requests.
    """

    target: str = Field(description="a folder with a trained model")
    reward: Reward = (5.0, 5.0, 5.0)
    reward_text: str = "None;None;None"
    steps: Steps = 1
    text_guidance: float = 1.0
    image_guidance: float = 1.0
    batch: int = Field(default=16, ge=1)


class PocketEditor:
    """An editor with a pocket model; its weights are loaded at the first request.

    A picture of another size is scaled to about the model's, keeping its aspect ratio, and the
    result is scaled back. A mask is used by models trained with one. The seed of a request sets its
    noise. A protocol's settings are ignored: the model is used as it was trained.
    """

    Settings = PocketEditorSettings
    family = "pocket"

    def __init__(self, settings: PocketEditorSettings) -> None:
        self._settings = settings
        self._folder = Path(settings.target).expanduser()

    @property
    def name(self) -> str:
        return f"diffusion:{self._settings.target}"

    @cached_property
    def fingerprint(self) -> str:
        """The digest of the model's files and the settings, but not of the folder's location."""
        with explained("read a model", self._folder):
            paths = sorted(path for path in self._folder.rglob("*.*") if path.suffix != ".md")
            names = {path.relative_to(self._folder).as_posix(): path for path in paths}
            files = {
                name: file_digest(path)
                for name, path in names.items()
                if not name.startswith("checkpoints/")
            }
        settings = self._settings.model_dump(mode="json", exclude={"target"})
        return fingerprint({"version": _VERSION, "files": files, "settings": settings})

    def settled(self, _card: Mapping[str, Json]) -> PocketEditorSettings:
        """Return the editor's own settings; a protocol's are not for it."""
        return self._settings

    @property
    def uses_mask(self) -> bool:
        """True if the model was trained with masks."""
        return "mask" in self._model.settings.conditions

    def missing(self) -> None:
        """Return None: this editor is only created if the model's folder exists."""

    def edit(self, requests: Sequence[EditRequest]) -> list[Pixels | Unedited]:
        """Return an edit of each request, in the size of its image."""
        return [
            each if isinstance(each, Unedited) else self.scaled_back(each, request)
            for request, each in zip(requests, self.edit_unscaled(requests), strict=True)
        ]

    def edit_unscaled(self, requests: Sequence[EditRequest]) -> list[Pixels | Unedited]:
        """Return an edit of each request, in the working size; see `UnscaledEditor`."""
        answers: dict[int, Pixels | Unedited] = {}
        by_size: dict[tuple[int, int], list[int]] = defaultdict(list)
        for index, request in enumerate(requests):
            reason = self._refusal(request)
            if reason is not None:
                answers[index] = Unedited(reason)
            else:
                by_size[self._size(request)].append(index)
        for size, indices in by_size.items():
            for chunk in _chunks(indices, self._settings.batch):
                edited = self._edit([requests[index] for index in chunk], size)
                answers.update(zip(chunk, edited, strict=True))
        return [answers[index] for index in range(len(requests))]

    def scaled_back(self, edited: Pixels, request: EditRequest) -> Pixels:
        """Return a result of `edit_unscaled` at the size of a request's image."""
        return resize(edited, *request.image.shape[:2])

    @cached_property
    def _model(self) -> PocketModel:
        model = load_model(self._folder)
        given = self._settings.model_fields_set
        if given & {"reward", "reward_text"} and not _takes_rewards(model):
            raise RecipeError(
                "this model was trained without rewards",
                value=self.name,
                fix="leave out `reward` and `reward_text`, or name a model whose `conditions` have "
                "rewards",
            )
        text = self._settings.reward_text if "reward_text" in given else None
        check_reward_text(self._settings.reward, text, self.name)
        self._check_reward_text(model)
        return model.to(device())

    def _check_reward_text(self, model: PocketModel) -> None:
        try:
            to_ids(
                model.vocabulary.tokenizer, [self._settings.reward_text], model.vocabulary.reward
            )
        except ValueError as error:
            raise RecipeError(
                "the reward text is too long", value=self.name, fix=str(error)
            ) from None

    def _refusal(self, request: EditRequest) -> str | None:
        """Return why a request cannot be edited, or None."""
        if self.uses_mask and is_nowhere(request.mask):
            return NOWHERE
        words = self._model.vocabulary
        try:
            to_ids(words.tokenizer, [request.instruction], words.text)
        except ValueError as error:
            return str(error)
        return None

    def _size(self, request: EditRequest) -> tuple[int, int]:
        """Return the working height and width: about the model's area, in multiples it needs."""
        settings = self._model.settings
        height, width = request.image.shape[:2]
        if request.fitted:
            return height, width
        scale = settings.size / (height * width) ** 0.5
        step, most = settings.multiple, _WIDEST * settings.size
        fitted = (
            min(most, max(step, round(side * scale / step) * step)) for side in (height, width)
        )
        return next(fitted), next(fitted)

    def _edit(self, requests: Sequence[EditRequest], size: tuple[int, int]) -> Iterator[Pixels]:
        settings, model = self._settings, self._model
        missing = settings.batch - len(requests)
        inputs = self._inputs([*requests, *[requests[-1]] * missing], size)
        seeds = [request.seed for request in requests] + [0] * missing
        with torch.inference_mode():
            latents = sample(
                model,
                inputs.to(model.device),
                noise_like(inputs.source, seeds).to(model.device),
                scheduler=noise_schedule(model.settings.prediction),
                steps=settings.steps,
                empty_text=model.empty_texts()[0].to(model.device),
                chosen=branches(settings.text_guidance, settings.image_guidance),
            )
        yield from model.decode(latents)[: len(requests)]

    def _inputs(self, requests: Sequence[EditRequest], size: tuple[int, int]) -> EditInputs:
        model = self._model
        words = model.vocabulary
        images = np.stack([resize(request.image, *size) for request in requests])
        texts = [request.instruction for request in requests]
        inputs = EditInputs(
            source=model.encode(torch.from_numpy(images)),
            text=torch.from_numpy(to_ids(words.tokenizer, texts, words.text)),
        )
        if self.uses_mask:
            masks = np.stack([_mask(request, size) for request in requests])
            inputs = inputs.with_({"mask": mask_tensor(masks)})
        return inputs.with_(self._rewards(len(requests))) if _takes_rewards(model) else inputs

    def _rewards(self, count: int) -> dict[str, Tensor]:
        """Return the reward inputs of `count` requests."""
        asked, model = self._settings.reward, self._model
        words = model.vocabulary
        if asked == "none":
            scores, keep = torch.zeros(len(PERSPECTIVES)), torch.zeros(len(PERSPECTIVES))
            text = model.empty_texts()[1]
        else:
            scores, keep = torch.tensor(asked), torch.ones(len(PERSPECTIVES))
            text = torch.from_numpy(
                to_ids(words.tokenizer, [self._settings.reward_text], words.reward)
            )[0]
        each = {"scores": scores, "keep": keep, "reward_text": text}
        return {name: value.expand(count, -1) for name, value in each.items()}


def _takes_rewards(model: PocketModel) -> bool:
    return "reward" in model.settings.conditions


def _mask(request: EditRequest, size: tuple[int, int]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return the region to edit; a missing mask means everywhere."""
    if request.mask is None:
        return np.full(size, 255, np.uint8)
    return resize(request.mask, *size)


def _chunks(items: Sequence[int], length: int) -> Iterator[Sequence[int]]:
    return (items[start : start + length] for start in range(0, len(items), length))
