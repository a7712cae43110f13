"""Noise schedules as tables: the weights of picture and noise at each noise level.

z_i = alpha_i x + sigma_i e, for diffusion (DDPM, equation 4) and for flow matching alike.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import torch
from diffusers import DDPMScheduler
from torch import Tensor

__all__ = ["NoiseLevels", "Prediction", "diffusion_levels", "flow_levels"]

Prediction: TypeAlias = Literal["x0", "epsilon", "v", "flow"]

_DIFFUSERS: dict[str, Prediction] = {"epsilon": "epsilon", "v_prediction": "v", "sample": "x0"}


@dataclass(frozen=True, slots=True)
class NoiseLevels:
    """The tables alpha, sigma and timestep, each [levels], by increasing noise.

    `timestep` is the network's input, `prediction` the kind of its output.
    """

    alpha: Tensor
    sigma: Tensor
    timestep: Tensor
    prediction: Prediction
    _copies: dict[object, NoiseLevels] = field(default_factory=dict, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.alpha)

    def to(self, device: torch.device) -> NoiseLevels:
        """Return the tables on a device; they are copied only once."""
        if device not in self._copies:
            alpha, sigma, timestep = (
                each.to(device) for each in (self.alpha, self.sigma, self.timestep)
            )
            self._copies[device] = NoiseLevels(alpha, sigma, timestep, self.prediction)
        return self._copies[device]


def diffusion_levels(scheduler: Any, prediction: Prediction | None = None) -> NoiseLevels:
    """Return the noise levels of a diffusers scheduler for diffusion.

    `prediction` is the kind of the network's output; it defaults to the scheduler's configuration.
    """
    signal: Tensor = DDPMScheduler.from_config(scheduler.config).alphas_cumprod
    kind = prediction or _DIFFUSERS[scheduler.config.prediction_type]
    return NoiseLevels(signal.sqrt(), (1 - signal).sqrt(), torch.arange(len(signal)), kind)


def flow_levels(scheduler: Any) -> NoiseLevels:
    """Return the noise levels of a flow-matching scheduler: z = (1 - s) x + s e."""
    sigma = scheduler.sigmas[: scheduler.config.num_train_timesteps].flip(0)
    timesteps = sigma * scheduler.config.num_train_timesteps
    return NoiseLevels(1 - sigma, sigma, timesteps, "flow")
