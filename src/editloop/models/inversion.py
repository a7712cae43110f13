"""From a picture's latents back to noise, and the empty text that brings them forth again.

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
    """One deterministic step towards noise: the DDIM step with its ends exchanged.

    z' = sqrt(a'/a) z + (sqrt(1 - a') - sqrt(a'/a) sqrt(1 - a)) eps, where `level` a and `noisier`
    a' < a are the shares of the picture's variance before and after (the paper's alpha-bar).
    """
    ratio = (noisier / level).sqrt()
    return ratio * latents + ((1 - noisier).sqrt() - ratio * (1 - level).sqrt()) * noise


@torch.no_grad()
def invert(predict: Predict, latents: Tensor, text: Tensor, scheduler: Any) -> list[Tensor]:
    """The latents [batch, c, h, w] at every noise level, from the picture's own to pure noise.

    `scheduler` is a DDIM scheduler whose timesteps are set; guidance is 1, which keeps inversion
    close to reversible. The noise at each level is predicted at the timestep it is taken to.
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
    """How the empty text is optimised: N gradient steps at each sampling step, stopped early.

    The learning rate falls, and the error that is good enough rises, from step to step, as in the
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
    """An empty text's embedding for each sampling step, by which the path is walked back.

    Equation 3 of the paper: at each step, min || z*_{t-1} - z_{t-1}(z_t, empty_t, prompt) ||^2 over
    empty_t, starting from that of the step before. `path` as of `invert`; `texts`: the empty
    text's and the prompt's embeddings, [batch, tokens, d].
    """
    empty, prompt = texts
    latents = path[-1]
    found: list[Tensor] = []
    for index, timestep in enumerate(scheduler.timesteps):
        with torch.no_grad():
            told = predict(latents, timestep, prompt)
        stepped = _Step(predict, scheduler, settings.guidance, latents, timestep, told)
        share = index / len(scheduler.timesteps)
        empty = _optimised(stepped, empty, path[-2 - index], settings, share)
        found.append(empty)
        with torch.no_grad():
            latents = stepped(empty)
    return found


@dataclass(frozen=True, slots=True)
class _Step:
    """One guided sampling step, as a function of the empty text; `told` is the prompt's part."""

    predict: Predict
    scheduler: Any
    guidance: float
    latents: Tensor
    timestep: Tensor
    told: Tensor

    def __call__(self, empty: Tensor) -> Tensor:
        """The latents after it."""
        unled = self.predict(self.latents, self.timestep, empty)
        output = unled + self.guidance * (self.told - unled)
        stepped: Tensor = self.scheduler.step(output, self.timestep, self.latents).prev_sample
        return stepped


def _optimised(
    stepped: Callable[[Tensor], Tensor],
    start: Tensor,
    wanted: Tensor,
    settings: NullText,
    share: float,
) -> Tensor:
    """The embedding that steps closest to what is wanted, at a share of the way through."""
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
    """The share of the picture's variance at each point of the path, from the picture to noise."""
    kept = scheduler.alphas_cumprod[scheduler.timesteps.cpu()].flip(0)
    return [scheduler.final_alpha_cumprod, *kept]


def _noise(output: Tensor, latents: Tensor, level: Tensor, prediction: str) -> Tensor:
    """The noise that a network's output says is in the latents."""
    if prediction == "v_prediction":
        return level.sqrt() * output + (1 - level).sqrt() * latents
    return output
