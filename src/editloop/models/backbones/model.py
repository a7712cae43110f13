"""A published diffusion model as an editor, used by both training and editing."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from editloop.models.backbones.autoencoder import Autoencoder
from editloop.models.backbones.denoisers import Denoiser, Given
from editloop.models.backbones.families import Family
from editloop.models.backbones.texts import Texts
from editloop.models.inputs import EditInputs
from editloop.models.reward import RewardSettings
from editloop.models.schedules import NoiseLevels
from editloop.schema import Pixels

__all__ = ["CONDITIONS", "DiffusionModel", "Lora"]

CONDITIONS = ("source", "mask", "reward")


@dataclass(frozen=True, slots=True)
class Lora:
    """The rank and scale (alpha) of low-rank adapters on the attention layers."""

    rank: int
    alpha: int


@dataclass(slots=True, eq=False)
class DiffusionModel:
    """A frozen autoencoder, frozen text encoders, and the denoiser that is trained.

    `base` is the name it was loaded by, `folder` the base in diffusers layout, `scheduler` the
    base's own.
    """

    family: Family
    base: str
    folder: Path
    autoencoder: Autoencoder
    texts: Texts
    denoiser: Denoiser
    scheduler: Any
    levels: NoiseLevels
    conditions: tuple[str, ...]
    reward: RewardSettings | None = None
    lora: Lora | None = None
    _blanks: dict[tuple[int, int], Tensor] = field(default_factory=dict)

    @property
    def network(self) -> Any:
        """The denoiser's diffusers network."""
        return self.denoiser.network

    def condition(self, name: str) -> nn.Module:
        """Return the network of one of its conditions."""
        return self.denoiser.conditions[name]

    @property
    def loads_plainly(self) -> bool:
        """True if diffusers' own pipeline can load this model with all its conditions."""
        import diffusers

        known = hasattr(diffusers, self.family.saved_as) and self.conditions == ("source",)
        grown = any(
            each.requires_grad and "lora_" not in name
            for name, each in self.network.named_parameters()
        )
        return known and not (self.lora is not None and grown)

    @property
    def device(self) -> torch.device:
        """The device of the denoiser's weights."""
        return next(self.denoiser.parameters()).device

    @property
    def parameter_count(self) -> int:
        """The number of trained parameters."""
        return sum(each.numel() for each in self.denoiser.parameters() if each.requires_grad)

    @property
    def multiple(self) -> int:
        """The number of pixels that the sides of pictures must be multiples of."""
        return self.autoencoder.factor * self.denoiser.patch

    def given(self, inputs: EditInputs, guidance: float | None = None) -> Given:
        """Return the conditions in the form that the denoiser takes: texts are encoded here.

        `guidance` is an input of a distilled network (`family.editing.guidance` when editing; None
        is 1).
        """
        rewarded = inputs.reward_text is not None
        return Given(
            source=inputs.source,
            text=self.texts.states(inputs.text),
            mask=inputs.mask,
            scores=inputs.scores,
            keep=inputs.keep,
            reward=self.texts.states(inputs.reward_text) if rewarded else None,  # type: ignore[arg-type]
            guidance=guidance,
        )

    def start(self, scheduler: Any, steps: int, height: int, width: int) -> None:
        """Set a sampler's timesteps for pictures of a size in pixels, like diffusers' pipeline."""
        tokens = (height // self.multiple) * (width // self.multiple)
        self.denoiser.start(scheduler, steps, tokens, self.device)

    def shown(self, pixels: Tensor) -> Tensor:
        """Encode pictures or masks uint8 [batch, height, width, 3] at the condition scale."""
        return self.autoencoder.shown(self.autoencoder.posterior(pixels).mean)

    def decode(self, latents: Tensor) -> list[Pixels]:
        """Decode denoised latents [batch, c, h, w] to pictures."""
        return self.autoencoder.pictures(latents)

    def blank_mask(self, height: int, width: int) -> Tensor:
        """Return the latents [1, c, h, w] of a white mask, which allows editing everywhere."""
        if (height, width) not in self._blanks:
            white = torch.from_numpy(np.full((1, height, width, 3), 255, np.uint8))
            self._blanks[height, width] = self.shown(white)
        return self._blanks[height, width]

    def blank_text(self) -> Tensor:
        """Return the ids [n] of the empty text."""
        return self.texts.ids([""])[0]

    def noise_shape(self, height: int, width: int) -> tuple[int, int, int]:
        """Return the shape [c, h, w] of the latents of a picture of a size."""
        factor = self.autoencoder.factor
        return self.autoencoder.channels, height // factor, width // factor
