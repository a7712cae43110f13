"""Timesteps of flow-matching samplers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers.pipelines.flux.pipeline_flux import calculate_shift

__all__ = ["start_flow"]


def start_flow(
    scheduler: Any,
    steps: int,
    tokens: int,
    device: torch.device,
    *,
    levels: Sequence[float] | None = None,
) -> None:
    """Set a sampler's timesteps, with the scheduler's own noise levels or the given ones.

    A scheduler may shift them by the number of a picture's tokens (Esser et al., 2024, section
    5.3.2): more tokens mean more steps at high noise levels.
    """
    config, options = scheduler.config, {}
    if config.get("use_dynamic_shifting"):
        options["mu"] = calculate_shift(
            tokens,
            config.base_image_seq_len,
            config.max_image_seq_len,
            config.base_shift,
            config.max_shift,
        )
    if levels is not None:
        options["sigmas"] = levels
    scheduler.set_timesteps(steps, device=device, **options)
