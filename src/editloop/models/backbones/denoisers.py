"""The trained part of a model: its denoising network with conditions, with one interface."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from editloop.models.backbones.texts import TextStates
from editloop.models.wrapper import ConditionedUNet

__all__ = ["Denoiser", "Given", "UNetDenoiser", "added_inputs"]


@dataclass(frozen=True, slots=True)
class Given:
    """The conditions of a batch in the form that a denoiser takes.

    source and mask: latents [batch, c, h, w]; text and reward: encoded texts; scores and keep:
    [batch, 3] as in `EditInputs`. None if the model is not conditioned on it. guidance: the scale
    that a distilled network gets as input; None is the one it is trained with.
    """

    source: Tensor
    text: TextStates
    mask: Tensor | None = None
    scores: Tensor | None = None
    keep: Tensor | None = None
    reward: TextStates | None = None
    guidance: float | None = None


class Denoiser(nn.Module):
    """The base class of denoisers, which map noisy latents, timesteps and `Given` to latents.

    `patch` is the side, in latents, of one token of the network.
    """

    patch = 1

    @property
    def network(self) -> Any:
        """The diffusers network."""
        raise NotImplementedError

    @property
    def conditions(self) -> nn.ModuleDict:
        """The networks of its conditions, by name; extra channels and tokens need none."""
        return nn.ModuleDict()

    def start(
        self,
        scheduler: Any,
        steps: int,
        tokens: int,  # noqa: ARG002
        device: torch.device,
    ) -> None:
        """Set a sampler's timesteps for pictures of `tokens` tokens, like diffusers' pipelines."""
        scheduler.set_timesteps(steps, device=device)


class UNetDenoiser(Denoiser):
    """A UNet of Stable Diffusion 1.x, 2.x or XL with its conditions."""

    def __init__(self, unet: Any, conditions: Mapping[str, nn.Module], factor: int) -> None:
        super().__init__()
        self.conditioned = ConditionedUNet(unet, conditions)
        self._factor = factor

    @property
    def network(self) -> Any:
        return self.conditioned.unet

    @property
    def conditions(self) -> nn.ModuleDict:
        return self.conditioned.conditions

    def forward(self, noisy: Tensor, timestep: Tensor, given: Given) -> Tensor:
        """Return the UNet's output [batch, c, h, w] for noisy latents [batch, c, h, w]."""
        added = added_inputs(self.network, given.text.pooled, noisy, self._factor)
        output: Tensor = self.conditioned(
            noisy, timestep, given.text.hidden, self._conditions(given), **added
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


def added_inputs(unet: Any, pooled: Tensor, noisy: Tensor, factor: int) -> dict[str, Any]:
    """Return XL's inputs: pooled text, and the sizes (original, crop offset, target).

    Other UNets have none. pooled: [batch, p]; noisy: latents of the batch; `factor`: the pixels of
    a side for one latent.
    """
    if unet.config.addition_embed_type != "text_time":
        return {}
    height, width = (side * factor for side in noisy.shape[-2:])
    sizes = torch.tensor([height, width, 0, 0, height, width], dtype=noisy.dtype)
    sizes = sizes.to(noisy.device).expand(len(noisy), -1)
    return {"added_cond_kwargs": {"text_embeds": pooled, "time_ids": sizes}}
