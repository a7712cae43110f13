"""Sampling of edits from noise: any model, any diffusers sampler, two guidance scales."""

from __future__ import annotations

from collections.abc import Sequence
from inspect import signature
from typing import Any

import torch
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor

from editloop.errors import RecipeError
from editloop.models.backbones.denoisers import Given
from editloop.models.backbones.guiding import Guide, reused_steps
from editloop.models.backbones.model import DiffusionModel
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
    reuse_guidance: bool = False,
) -> Tensor:
    """Sample latents [batch, c, h, w], float32, at the training scale, from random noise.

    Each row has its own generator, also for the noise that ancestral schedulers add. `chosen` are
    the predictions of guidance, as from `branches`; they are one network call. All texts and the
    empty one are one text encoder call. `scheduler` is a diffusers one, which every call sets up
    again. The denoiser's mode (training or evaluation) is not changed. `guidance` is an input of a
    distilled network (FLUX) and defaults to its family's. `reuse_guidance` is faster but lossy: see
    `Guide`.
    """
    dtype = next(model.network.parameters()).dtype
    scale = model.family.editing.guidance if guidance is None else guidance
    given = _given(model, inputs, chosen, scale)
    height, width = (side * model.autoencoder.factor for side in inputs.source.shape[-2:])
    _start(model, scheduler, steps, height, width)
    device, own = inputs.source.device, list(generators)
    latents: Tensor = randn_tensor(inputs.source.shape, own, device, torch.float32)
    latents = latents * getattr(scheduler, "init_noise_sigma", 1.0)
    extra = {"generator": own} if "generator" in signature(scheduler.step).parameters else {}
    reused = reused_steps(len(scheduler.timesteps)) if reuse_guidance else frozenset()
    guide = Guide(model.denoiser, given, chosen, dtype, reused)
    for step, timestep in enumerate(scheduler.timesteps):
        guided = guide(step, _scaled(scheduler, latents, timestep).to(dtype), timestep)
        latents = scheduler.step(guided, timestep, latents, **extra, return_dict=False)[0]
    return latents


def _start(model: DiffusionModel, scheduler: Any, steps: int, height: int, width: int) -> None:
    """Set up the sampler; raise RecipeError if it cannot take this many steps."""
    try:
        model.start(scheduler, steps, height, width)
        levels = getattr(scheduler, "alphas_cumprod", None)
        if levels is not None and int(scheduler.timesteps.max()) >= len(levels):
            raise ValueError(f"it has {len(levels)} noise levels")
    except ValueError as error:
        raise RecipeError(
            f"{type(scheduler).__name__} does not support this number of steps",
            value=steps,
            fix=f"set other `steps`, or another `scheduler` ({error})",
        ) from error


def _given(
    model: DiffusionModel, inputs: EditInputs, chosen: Sequence[Branch], guidance: float | None
) -> Given:
    """Return the conditions of the batch; if a branch has no text, the empty one comes last."""
    text = inputs.text
    if not all(branch.text for branch in chosen):
        text = torch.cat([text, model.blank_text()[None].to(text)])
    return model.given(inputs.with_({"text": text}), guidance)


def _scaled(scheduler: Any, latents: Tensor, timestep: Tensor) -> Tensor:
    """Return latents at the network's input scale; flow matching doesn't scale them."""
    scale = getattr(scheduler, "scale_model_input", None)
    scaled: Tensor = latents if scale is None else scale(latents, timestep)
    return scaled
