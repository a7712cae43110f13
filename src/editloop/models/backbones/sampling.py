"""From noise to an edit: any model, any of diffusers' samplers, guidance by two scales."""

from __future__ import annotations

from collections.abc import Sequence
from inspect import signature
from typing import Any

import torch
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor

from editloop.models.backbones.denoisers import Given
from editloop.models.backbones.model import DiffusionModel
from editloop.models.backbones.texts import TextStates
from editloop.models.guidance import Branch
from editloop.models.inputs import EditInputs

__all__ = ["denoised"]


@torch.no_grad()
def denoised(
    model: DiffusionModel,
    inputs: EditInputs,
    generators: Sequence[torch.Generator],
    *,
    scheduler: Any,
    steps: int,
    chosen: Sequence[Branch],
    guidance: float | None = None,
) -> Tensor:
    """Learned latents [batch, c, h, w], float32, from noise that each row draws for itself.

    `chosen` are the predictions that guidance weighs, as of `branches`: they are one call of the
    network. The texts, and once the empty one, are one call of the text encoder. `scheduler` is one
    of diffusers', set up anew by every call; what it draws on the way, as ancestral ones do, comes
    from the rows' generators too. The denoiser stays in the mode, training or not, that it is in.
    `guidance` is told to a distilled network (FLUX); left out, its family's usual.
    """
    dtype = next(model.network.parameters()).dtype
    told = model.family.guidance if guidance is None else guidance
    given = _branched(_given(model, inputs, chosen, told), chosen, dtype)
    height, width = (side * model.autoencoder.factor for side in inputs.source.shape[-2:])
    model.start(scheduler, steps, height, width)
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


def _given(
    model: DiffusionModel, inputs: EditInputs, chosen: Sequence[Branch], guidance: float | None
) -> Given:
    """The conditions of the batch; where a branch goes without text, the empty one comes last."""
    text = inputs.text
    if not all(branch.text for branch in chosen):
        text = torch.cat([text, model.blank_text()[None].to(text)])
    return model.given(inputs.with_({"text": text}), guidance)


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
        guidance=given.guidance,
    )


def _weighted(output: Tensor, chosen: Sequence[Branch]) -> Tensor:
    """The branches' predictions [branches * batch, ...] by their weights, in float32."""
    if len(chosen) == 1 and chosen[0].weight == 1:
        return output.float()
    parts = output.float().chunk(len(chosen))
    weighted = [branch.weight * part for branch, part in zip(chosen, parts, strict=True)]
    return torch.stack(weighted).sum(0)


def _scaled(scheduler: Any, latents: Tensor, timestep: Tensor) -> Tensor:
    """Latents as the network is shown them; flow matching shows them as they are."""
    scale = getattr(scheduler, "scale_model_input", None)
    scaled: Tensor = latents if scale is None else scale(latents, timestep)
    return scaled
