"""Sampling of an edit from noise: a few deterministic steps (DDIM), with guidance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch
from diffusers import DDIMScheduler
from torch import Tensor

from editloop.models.guidance import Branch, guided
from editloop.models.inputs import EditInputs

__all__ = ["DIFFUSERS_NAMES", "STEPS", "Predict", "noise_like", "noise_schedule", "sample"]

STEPS = 1000  # of the noise schedule; a timestep lies in 0..999
DIFFUSERS_NAMES = {"x0": "sample", "epsilon": "epsilon", "v": "v_prediction"}

Predict: TypeAlias = Callable[[Tensor, Tensor, EditInputs], Tensor]  # (noisy, timestep, inputs)


def noise_schedule(prediction: str) -> Any:
    """Return the cosine schedule (Nichol and Dhariwal, 2021) for latents in -1..1.

    There is no noise at timestep 0. Sampling starts at the last timestep for any number of steps
    ("trailing"): a single step predicts the picture from pure noise.
    """
    return DDIMScheduler(
        num_train_timesteps=STEPS,
        beta_schedule="squaredcos_cap_v2",
        prediction_type=DIFFUSERS_NAMES[prediction],
        timestep_spacing="trailing",
        clip_sample=True,
    )


def noise_like(latents: Tensor, seeds: Sequence[int]) -> Tensor:
    """Return Gaussian noise of the latents' shape; each row depends on its own seed only."""
    rows = [
        torch.randn(latents.shape[1:], generator=torch.Generator().manual_seed(seed))
        for seed in seeds
    ]
    return torch.stack(rows).to(latents)


def sample(
    predict: Predict,
    inputs: EditInputs,
    noise: Tensor,
    *,
    scheduler: Any,
    steps: int,
    empty_text: Tensor,
    chosen: Sequence[Branch],
) -> Tensor:
    """Sample latents [batch, c, h, w] from noise of that shape; `chosen` as from `branches`."""
    scheduler.set_timesteps(steps, device=noise.device)
    latents = noise
    for timestep in scheduler.timesteps:
        at = timestep.expand(len(noise))

        def predicted(conditions: EditInputs, noisy: Tensor = latents, at: Tensor = at) -> Tensor:
            return predict(noisy, at, conditions)

        output = guided(predicted, inputs, empty_text, chosen)
        latents = scheduler.step(output, timestep, latents).prev_sample
    return latents
