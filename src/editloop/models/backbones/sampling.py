"""From noise to an edit: any model, any of diffusers' samplers, guidance by two scales."""

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
    """Learned latents [batch, c, h, w], float32, from noise that each row draws for itself.

    `chosen` are the predictions that guidance weighs, as of `branches`: they are one call of the
    network. The texts, and once the empty one, are one call of the text encoder. `scheduler` is one
    of diffusers', set up anew by every call; what it draws on the way, as ancestral ones do, comes
    from the rows' generators too. The denoiser stays in the mode, training or not, that it is in.
    `guidance` is told to a distilled network (FLUX); left out, its family's usual. `reuse_guidance`
    is faster and lossy: see `Guide`.
    """
    dtype = next(model.network.parameters()).dtype
    told = model.family.guidance if guidance is None else guidance
    given = _given(model, inputs, chosen, told)
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
    """Set the sampler up; RecipeError where it cannot take so many steps."""
    try:
        model.start(scheduler, steps, height, width)
        levels = getattr(scheduler, "alphas_cumprod", None)
        if levels is not None and int(scheduler.timesteps.max()) >= len(levels):
            raise ValueError(f"it has {len(levels)} noise levels")
    except ValueError as error:
        raise RecipeError(
            f"{type(scheduler).__name__} cannot take so many steps",
            value=steps,
            fix=f"set other `steps`, or another `scheduler` ({error})",
        ) from error


def _given(
    model: DiffusionModel, inputs: EditInputs, chosen: Sequence[Branch], guidance: float | None
) -> Given:
    """The conditions of the batch; where a branch goes without text, the empty one comes last."""
    text = inputs.text
    if not all(branch.text for branch in chosen):
        text = torch.cat([text, model.blank_text()[None].to(text)])
    return model.given(inputs.with_({"text": text}), guidance)


def _scaled(scheduler: Any, latents: Tensor, timestep: Tensor) -> Tensor:
    """Latents as the network is shown them; flow matching shows them as they are."""
    scale = getattr(scheduler, "scale_model_input", None)
    scaled: Tensor = latents if scale is None else scale(latents, timestep)
    return scaled
