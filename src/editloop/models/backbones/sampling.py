"""From noise to an edit: any model, any of diffusers' samplers, guidance by two scales."""

from __future__ import annotations

from collections.abc import Sequence
from inspect import signature
from typing import Any

import numpy as np
import torch
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor

from editloop.models.backbones.denoisers import Given
from editloop.models.backbones.model import DiffusionModel
from editloop.models.backbones.texts import TextStates
from editloop.models.guidance import Branch
from editloop.models.inputs import EditInputs

__all__ = ["denoised"]

_PATCH = 2  # a token's side in latents, where a sampler's shift depends on their number


@torch.no_grad()
def denoised(
    model: DiffusionModel,
    inputs: EditInputs,
    generators: Sequence[torch.Generator],
    *,
    scheduler: Any,
    steps: int,
    chosen: Sequence[Branch],
) -> Tensor:
    """Learned latents [batch, c, h, w], float32, from noise that each row draws for itself.

    `chosen` are the predictions that guidance weighs, as of `branches`: they are one call of the
    network. The texts, and once the empty one, are one call of the text encoder. `scheduler` is one
    of diffusers', set up anew by every call; what it draws on the way, as ancestral ones do, comes
    from the rows' generators too. The denoiser stays in the mode, training or not, that it is in.
    """
    dtype = next(model.network.parameters()).dtype
    given = _branched(_given(model, inputs, chosen), chosen, dtype)
    _set_steps(scheduler, steps, inputs.source)
    device, own = inputs.source.device, list(generators)
    latents: Tensor = randn_tensor(inputs.source.shape, own, device, torch.float32)
    latents = latents * getattr(scheduler, "init_noise_sigma", 1.0)
    extra = {"generator": own} if "generator" in signature(scheduler.step).parameters else {}
    for timestep in scheduler.timesteps:
        rows = _scaled(scheduler, latents, timestep).to(dtype).repeat(len(chosen), 1, 1, 1)
        output = model.denoiser(rows, timestep.expand(len(rows)), given)
        guided = _weighted(output, chosen)
        latents = scheduler.step(guided, timestep, latents, **extra, return_dict=False)[0]
    return latents


def _given(model: DiffusionModel, inputs: EditInputs, chosen: Sequence[Branch]) -> Given:
    """The conditions of the batch; where a branch goes without text, the empty one comes last."""
    text = inputs.text
    if not all(branch.text for branch in chosen):
        text = torch.cat([text, model.blank_text()[None].to(text)])
    return model.given(inputs.with_({"text": text}))


def _branched(given: Given, chosen: Sequence[Branch], dtype: torch.dtype) -> Given:
    """The conditions of all branches, one after another.

    Without its source a branch sees zeros, for the mask too, as the released pipelines have it;
    without its text the empty one. Rewards stay.
    """
    batch = len(given.source)

    def shown(latents: Tensor) -> Tensor:
        seen = latents.to(dtype)
        nothing = torch.zeros_like(seen)
        return torch.cat([seen if branch.source else nothing for branch in chosen])

    def told(states: Tensor) -> Tensor:
        texts, blank = states[:batch], states[-1:].expand_as(states[:batch])
        return torch.cat([texts if branch.text else blank for branch in chosen]).to(dtype)

    def same(values: Tensor) -> Tensor:
        return values.repeat(len(chosen), *(1,) * (values.ndim - 1))

    reward = given.reward
    return Given(
        source=shown(given.source),
        text=TextStates(told(given.text.hidden), told(given.text.pooled)),
        mask=None if given.mask is None else shown(given.mask),
        scores=None if given.scores is None else same(given.scores),
        keep=None if given.keep is None else same(given.keep),
        reward=None
        if reward is None
        else TextStates(same(reward.hidden.to(dtype)), same(reward.pooled.to(dtype))),
    )


def _weighted(output: Tensor, chosen: Sequence[Branch]) -> Tensor:
    """The branches' predictions [branches * batch, ...] by their weights, in float32."""
    if len(chosen) == 1 and chosen[0].weight == 1:
        return output.float()
    parts = output.float().chunk(len(chosen))
    weighted = [branch.weight * part for branch, part in zip(chosen, parts, strict=True)]
    return torch.stack(weighted).sum(0)


def _set_steps(scheduler: Any, steps: int, latents: Tensor) -> None:
    """The sampler's timesteps, as diffusers' pipelines ask for them.

    Flow matching whose shift depends on the picture's size (FLUX) is told the number of tokens, and
    noise levels 1, 1 - 1/n, ..., 1/n.
    """
    device = latents.device
    if not scheduler.config.get("use_dynamic_shifting"):
        scheduler.set_timesteps(steps, device=device)
        return
    tokens = (latents.shape[-2] // _PATCH) * (latents.shape[-1] // _PATCH)
    config = scheduler.config
    slope = (config.max_shift - config.base_shift) / (
        config.max_image_seq_len - config.base_image_seq_len
    )
    shift = config.base_shift + slope * (tokens - config.base_image_seq_len)
    sigmas = np.linspace(1.0, 1 / steps, steps)
    scheduler.set_timesteps(sigmas=sigmas, mu=shift, device=device)


def _scaled(scheduler: Any, latents: Tensor, timestep: Tensor) -> Tensor:
    """Latents as the network is shown them; flow matching shows them as they are."""
    scale = getattr(scheduler, "scale_model_input", None)
    scaled: Tensor = latents if scale is None else scale(latents, timestep)
    return scaled
