"""Learning to edit: cached samples, the diffusion objective, and dropped conditions, as a task."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from editloop.models.inputs import EditInputs
from editloop.models.pocket import PocketModel, mask_tensor
from editloop.models.sampling import STEPS, noise_like, signal_levels
from editloop.models.tokens import to_ids
from editloop.seeding import derive_seed
from editloop.training.cache import EditCache
from editloop.training.objective import (
    Loss,
    add_noise,
    drop_conditions,
    loss_of,
    noisy_timesteps,
    wanted_output,
)

__all__ = ["EditTask", "Samples"]

_VALIDATED = 64  # held-out samples


class Samples:
    """A cache's samples as a model takes them: texts as ids, pictures as latents."""

    def __init__(self, cache: EditCache, model: PocketModel) -> None:
        words = model.vocabulary
        self._cache = cache
        self._model = model
        self._text = torch.from_numpy(to_ids(words.tokenizer, cache.texts, words.text))
        self._reward = torch.from_numpy(to_ids(words.tokenizer, cache.reward_texts, words.reward))

    def __len__(self) -> int:
        return len(self._cache)

    def read(self, samples: NDArray[np.int64]) -> tuple[Tensor, EditInputs]:
        """The targets' latents [batch, c, h, w] and the conditions of these samples."""
        cache, conditions = self._cache, self._model.settings.conditions
        rows = cache.pictures[samples]
        encode = self._model.encode
        inputs = EditInputs(
            source=encode(torch.from_numpy(rows[..., :3])),
            text=self._text[cache.instruction[samples]],
            mask=mask_tensor(rows[..., 6]) if "mask" in conditions else None,
        )
        if "reward" in conditions:
            inputs = inputs.with_(
                {
                    "scores": torch.from_numpy(cache.scores[samples]),
                    "keep": torch.from_numpy(cache.keep[samples]),
                    "reward_text": self._reward[cache.reward[samples]],
                }
            )
        return encode(torch.from_numpy(rows[..., 3:6])), inputs


@dataclass(frozen=True, slots=True)
class EditTask:
    """Predict the edited picture's latents from noisy ones, under an editor's conditions.

    Validation draws its noise once and for all from `seed`, spreads its timesteps evenly and drops
    nothing. With `bf16`, the network computes in bfloat16 and keeps its weights in float32.
    """

    model: PocketModel
    samples: Samples
    heldout: Samples | None
    loss_kind: Loss
    bf16: bool
    seed: int

    def __len__(self) -> int:
        return len(self.samples)

    def loss(
        self, network: nn.Module, samples: NDArray[np.int64], random: torch.Generator
    ) -> Tensor:
        clean, inputs = self.samples.read(samples)
        count = len(samples)
        noise = torch.randn(clean.shape, generator=random)
        timesteps = noisy_timesteps(torch.rand(count, generator=random), STEPS)
        empty = self.model.empty_texts()
        dropped = drop_conditions(inputs, torch.rand(count, 3, generator=random), *empty)
        return self._loss(network, clean, dropped, noise, timesteps)

    def validation_loss(self, network: nn.Module) -> float | None:
        if self.heldout is None:
            return None
        count = min(_VALIDATED, len(self.heldout))
        clean, inputs = self.heldout.read(np.arange(count))
        seeds = [derive_seed(self.seed, "validation", each) for each in range(count)]
        timesteps = torch.arange(count) * STEPS // count
        noise = noise_like(clean, seeds)
        return self._loss(network, clean, inputs, noise, timesteps).item()

    def _loss(
        self,
        network: nn.Module,
        clean: Tensor,
        inputs: EditInputs,
        noise: Tensor,
        timesteps: Tensor,
    ) -> Tensor:
        device = self.model.device
        prediction = self.model.settings.prediction
        clean, noise, timesteps = clean.to(device), noise.to(device), timesteps.to(device)
        signal = signal_levels().to(device)[timesteps]
        noisy = add_noise(clean, noise, signal)
        with torch.autocast(device.type, torch.bfloat16, enabled=self.bf16):
            output = network(noisy, timesteps, inputs.to(device))
        return loss_of(self.loss_kind, output, wanted_output(prediction, clean, noise, signal))
