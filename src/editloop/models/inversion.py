"""Inversion of latents to noise, and null-text optimisation to reproduce them.

DDIM inversion (Song et al., "Denoising Diffusion Implicit Models", 2021) and null-text optimisation
(Mokady et al., "Null-text Inversion for Editing Real Images using Guided Diffusion Models", 2022).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["NullText", "Predict", "inverse_step", "invert", "null_texts"]

Predict: TypeAlias = Callable[[Tensor, Tensor, Tensor], Tensor]  # (latents, timestep, text)


def inverse_step(latents: Tensor, noise: Tensor, level: Tensor, noisier: Tensor) -> Tensor:
    """Return latents after one deterministic step towards noise: a reversed DDIM step.

    z' = sqrt(a'/a) z + (sqrt(1 - a') - sqrt(a'/a) sqrt(1 - a)) eps, where `level` a and `noisier`
    a' < a are the alpha-bar of the paper (the signal's share of the variance) before and after.
    """
    ratio = (noisier / level).sqrt()
    return ratio * latents + ((1 - noisier).sqrt() - ratio * (1 - level).sqrt()) * noise


@torch.no_grad()
def invert(predict: Predict, latents: Tensor, text: Tensor, scheduler: Any) -> list[Tensor]:
    """Return the latents [batch, c, h, w] at every noise level, from the picture to pure noise.

    `scheduler` is a DDIM scheduler whose timesteps are set; guidance is 1, which keeps inversion
    close to reversible. The noise of each step is predicted at the timestep that it leads to.
    """
    levels = _levels(scheduler)
    path = [latents]
    for index, timestep in enumerate(reversed(scheduler.timesteps)):
        output = predict(path[-1], timestep, text)
        noise = _noise(output, path[-1], levels[index], scheduler.config.prediction_type)
        path.append(inverse_step(path[-1], noise, levels[index], levels[index + 1]))
    return path


@dataclass(frozen=True, slots=True)
class NullText:
    """The settings of null-text optimisation.

    At each sampling step there are at most `iterations` gradient steps; they stop at an error below
    `enough`. From step to step the learning rate falls and the error threshold rises, as in the
    released code.
    """

    guidance: float = 7.5
    iterations: int = 10
    rate: float = 1e-2
    enough: float = 1e-5


def null_texts(
    predict: Predict,
    path: Sequence[Tensor],
    texts: tuple[Tensor, Tensor],
    scheduler: Any,
    settings: NullText,
) -> list[Tensor]:
    """Return an empty text's embedding for each sampling step that reproduces the path.

    Equation 3 of the paper: at each step, min || z*_{t-1} - z_{t-1}(z_t, empty_t, prompt) ||^2 over
    empty_t, starting from that of the previous step. `path` as from `invert`; `texts`: the empty
    text's and the prompt's embeddings, [batch, tokens, d].
    """
    empty, prompt = texts
    latents = path[-1]
    found: list[Tensor] = []
    for index, timestep in enumerate(scheduler.timesteps):
        with torch.no_grad():
            conditional = predict(latents, timestep, prompt)
        stepped = _Step(predict, scheduler, settings.guidance, latents, timestep, conditional)
        share = index / len(scheduler.timesteps)
        empty = _optimised(stepped, empty, path[-2 - index], settings, share)
        found.append(empty)
        with torch.no_grad():
            latents = stepped(empty)
    return found


@dataclass(frozen=True, slots=True)
class _Step:
    """One guided sampling step, as a function of the empty text.

    `conditional` is the prediction for the prompt.
    """

    predict: Predict
    scheduler: Any
    guidance: float
    latents: Tensor
    timestep: Tensor
    conditional: Tensor

    def __call__(self, empty: Tensor) -> Tensor:
        """Return the latents after the step."""
        unconditional = self.predict(self.latents, self.timestep, empty)
        output = unconditional + self.guidance * (self.conditional - unconditional)
        stepped: Tensor = self.scheduler.step(output, self.timestep, self.latents).prev_sample
        return stepped


def _optimised(
    stepped: Callable[[Tensor], Tensor],
    start: Tensor,
    wanted: Tensor,
    settings: NullText,
    share: float,
) -> Tensor:
    """Optimise the embedding so that its step ends close to `wanted`.

    `share` is the share of sampling steps that are done.
    """
    empty = start.detach().clone().requires_grad_()
    optimiser = torch.optim.Adam([empty], lr=settings.rate * (1 - share / 2))
    for _ in range(settings.iterations):
        loss = functional.mse_loss(stepped(empty), wanted)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        if loss.item() < settings.enough * (1 + 100 * share):
            break
    return empty.detach()


def _levels(scheduler: Any) -> list[Tensor]:
    """Return alpha-bar at each point of the path, from the picture to noise."""
    kept = scheduler.alphas_cumprod[scheduler.timesteps.cpu()].flip(0)
    return [scheduler.final_alpha_cumprod, *kept]


def _noise(output: Tensor, latents: Tensor, level: Tensor, prediction: str) -> Tensor:
    """Convert a network's output to the predicted noise."""
    if prediction == "v_prediction":
        return level.sqrt() * output + (1 - level).sqrt() * latents
    return output
