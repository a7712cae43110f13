"""Samples of a latent cache in the form that a diffusion model takes, without encoding."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from editloop.errors import TrainingError
from editloop.models.backbones.autoencoder import Posterior
from editloop.models.backbones.model import DiffusionModel
from editloop.models.inputs import EditInputs
from editloop.models.sampling import noise_like
from editloop.training.buckets import Size
from editloop.training.latent_plan import LatentCache
from editloop.training.latent_rows import checked

__all__ = ["LatentSamples", "blanks_of"]


class LatentSamples:
    """Samples for `EditTask`, read from a latent cache.

    By its seed, a sample is flipped with probability 1/2 if its words allow it, and its target is
    sampled from the encoder's posterior; without seeds it is not flipped and the target is the
    mean.
    """

    def __init__(
        self, cache: LatentCache, model: DiffusionModel, conditions: Sequence[str]
    ) -> None:
        if "mask" in conditions and cache.masks is None:
            raise TrainingError(
                "this cache of latents has no masks",
                value=cache.words_path.parent,
                fix="open it with masks=True",
            )
        self._cache = cache
        self._model = model
        self._conditions = frozenset(conditions)

    def __len__(self) -> int:
        return len(self._cache)

    @property
    def buckets(self) -> Sequence[NDArray[np.int64]]:
        return self._cache.buckets

    def read(
        self, samples: NDArray[np.int64], seeds: Sequence[int] | None
    ) -> tuple[Tensor, EditInputs]:
        cache, autoencoder = self._cache, self._model.autoencoder
        numbers = samples.tolist()
        words = checked(cache.words[samples], cache.words_path)
        flips = [0] * len(numbers)
        if seeds is not None and cache.settings.flip:
            odd = [seed % 2 for seed in seeds]
            flips = np.multiply(odd, words["mirrors"]).tolist()
        pictures = cache.pictures.read(numbers, flips)
        target = _tensor(pictures["mean"])
        if seeds is not None:
            noise = noise_like(target, [seed // 2 for seed in seeds])
            target = Posterior(target, _tensor(pictures["std"])).at(noise)
        inputs = EditInputs(
            source=autoencoder.shown(_tensor(pictures["source"])),
            text=torch.from_numpy(words["text"].astype(np.int64)),
        )
        if "mask" in self._conditions and cache.masks is not None:
            masks = cache.masks.read(numbers, flips)
            inputs = inputs.with_({"mask": autoencoder.shown(_tensor(masks["mask"]))})
        if "reward" in self._conditions:
            inputs = inputs.with_(
                {
                    "scores": _tensor(words["scores"]),
                    "keep": _tensor(words["keep"]),
                    "reward_text": torch.from_numpy(words["reward"].astype(np.int64)),
                }
            )
        return autoencoder.learned(target), inputs

    @property
    def lost(self) -> tuple[int, int]:
        """How many edits lie mostly outside of their crop, and of how many."""
        return self._cache.pictures.lost, len(self)

    def shape(self, sample: int) -> tuple[int, int, int]:
        return self._model.noise_shape(*self._cache.size_of(sample))

    def blanks(self, sample: int) -> Mapping[str, Tensor]:
        return blanks_of(self._model, self._cache.size_of(sample), self._conditions)


def blanks_of(model: DiffusionModel, size: Size, conditions: Container[str]) -> dict[str, Tensor]:
    """Return the ids of an empty text and reward text, and a white mask's latents at a size."""
    text = model.blank_text()
    blanks = {"text": text, "reward_text": text}
    if "mask" in conditions:
        blanks["mask"] = model.blank_mask(*size)[0].float().cpu()
    return blanks


def _tensor(latents: NDArray[np.generic]) -> Tensor:
    return torch.from_numpy(latents.astype(np.float32))
