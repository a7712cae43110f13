"""What is trained of a model: its denoising network with conditions, called alike everywhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from editloop.models.backbones.texts import TextStates
from editloop.models.wrapper import ConditionedUNet

__all__ = ["Denoiser", "Given", "UNetDenoiser"]


@dataclass(frozen=True, slots=True)
class Given:
    """The conditions of a batch as a denoiser reads them.

    source and mask: latents [batch, c, h, w]; text and reward: encoded texts; scores and keep:
    [batch, 3] as in `EditInputs`. None where the model is not conditioned on it. guidance: the
    scale that a distilled network is told; None is the one it is trained at.
    """

    source: Tensor
    text: TextStates
    mask: Tensor | None = None
    scores: Tensor | None = None
    keep: Tensor | None = None
    reward: TextStates | None = None
    guidance: float | None = None


class Denoiser(nn.Module):
    """The face of all: from noisy latents, timesteps and `Given` to latents.

    `patch` is the side in latents of what the network reads as one token.
    """

    patch = 1

    @property
    def network(self) -> Any:
        """The diffusers network in it."""
        raise NotImplementedError

    @property
    def conditions(self) -> nn.ModuleDict:
        """The networks of its conditions, by name; channels and tokens need none."""
        return nn.ModuleDict()

    def start(
        self,
        scheduler: Any,
        steps: int,
        tokens: int,  # noqa: ARG002
        device: torch.device,
    ) -> None:
        """Set a sampler's timesteps for pictures of so many tokens, as diffusers' pipelines do."""
        scheduler.set_timesteps(steps, device=device)


class UNetDenoiser(Denoiser):
    """A UNet of Stable Diffusion 1.x, 2.x or XL with its conditions."""

    def __init__(self, unet: Any, conditions: Mapping[str, nn.Module], factor: int) -> None:
        super().__init__()
        self.conditioned = ConditionedUNet(unet, conditions)
        self._factor = factor
        self._xl = unet.config.addition_embed_type == "text_time"

    @property
    def network(self) -> Any:
        return self.conditioned.unet

    @property
    def conditions(self) -> nn.ModuleDict:
        return self.conditioned.conditions

    def forward(self, noisy: Tensor, timestep: Tensor, given: Given) -> Tensor:
        """The UNet's answer [batch, c, h, w] for noisy latents [batch, c, h, w]."""
        output: Tensor = self.conditioned(
            noisy, timestep, given.text.hidden, self._conditions(given), **self._asked(noisy, given)
        )
        return output

    def _conditions(self, given: Given) -> dict[str, dict[str, Tensor]]:
        found: dict[str, dict[str, Tensor]] = {"source": {"picture": given.source}}
        if given.mask is not None:
            found["mask"] = {"picture": given.mask}
        if given.scores is not None and given.keep is not None and given.reward is not None:
            found["reward"] = {
                "scores": given.scores,
                "keep": given.keep,
                "text": given.reward.hidden,
                "pooled": given.reward.pooled,
            }
        return found

    def _asked(self, noisy: Tensor, given: Given) -> dict[str, Any]:
        """XL is told the pooled text, and the picture's size as original, crop and target."""
        if not self._xl:
            return {}
        height, width = (side * self._factor for side in noisy.shape[-2:])
        sizes = torch.tensor([height, width, 0, 0, height, width], dtype=noisy.dtype)
        sizes = sizes.to(noisy.device).expand(len(noisy), -1)
        return {"added_cond_kwargs": {"text_embeds": given.text.pooled, "time_ids": sizes}}
