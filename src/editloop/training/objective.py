"""The diffusion objective in pure functions: noise, what is to be predicted, loss, dropout."""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
from torch import Tensor

from editloop.models.inputs import EditInputs

__all__ = [
    "Loss",
    "Prediction",
    "add_noise",
    "drop_conditions",
    "loss_of",
    "noisy_timesteps",
    "wanted_output",
]

Prediction: TypeAlias = Literal["x0", "epsilon", "v"]
Loss: TypeAlias = Literal["rms", "l1", "mse"]

_TEXT_ONLY = 0.05
_BOTH = 0.05
_SOURCE_ONLY = 0.05
_REWARD = 0.10
_MASK = 0.50
_LAST_SHARE = 0.75
_SMOOTH = 1e-4  # of rms: below a distance of 0.01 the slope goes to 0


def add_noise(clean: Tensor, noise: Tensor, signal: Tensor) -> Tensor:
    """z_t = sqrt(a) x_0 + sqrt(1 - a) e (DDPM, equation 4); `signal` [batch] is a, in 0..1."""
    share = signal.view(-1, *(1,) * (clean.ndim - 1))
    return share.sqrt() * clean + (1 - share).sqrt() * noise


def wanted_output(prediction: Prediction, clean: Tensor, noise: Tensor, signal: Tensor) -> Tensor:
    """What a network of this kind should answer: x_0, e, or v = sqrt(a) e - sqrt(1 - a) x_0.

    v is from Progressive Distillation (Salimans and Ho, 2022), appendix D.
    """
    if prediction == "x0":
        return clean
    if prediction == "epsilon":
        return noise
    share = signal.view(-1, *(1,) * (clean.ndim - 1))
    return share.sqrt() * noise - (1 - share).sqrt() * clean


def loss_of(kind: Loss, output: Tensor, wanted: Tensor) -> Tensor:
    """The mean over the batch [batch, ...] of a distance in each sample.

    mse: the mean square; l1: the mean distance; rms: the root of the mean square. Where targets
    have faults, mse learns their mixture and l1, value by value, the median, which of many small
    edits is no change at all. rms learns a median of whole pictures, and a small edit weighs as
    much as one of the whole picture.
    """
    difference = (output.float() - wanted.float()).flatten(1)
    if kind == "l1":
        return difference.abs().mean()
    squares = difference.square().mean(1)
    return squares.mean() if kind == "mse" else (squares + _SMOOTH).sqrt().mean()


def noisy_timesteps(draws: Tensor, steps: int) -> Tensor:
    """Timesteps [batch] from uniform draws in [0, 1): three quarters the last, the others uniform.

    Sampling starts at the last timestep, pure noise. Below it, the look of the answer can be read
    off the noisy picture, nearly to the end of the schedule: little is learned there of the
    instruction and the reward.
    """
    below = (draws - _LAST_SHARE) / (1 - _LAST_SHARE)
    return torch.where(below < 0, steps - 1, (steps * below).long().clamp(0, steps - 1))


def drop_conditions(
    inputs: EditInputs, draws: Tensor, empty_text: Tensor, empty_reward: Tensor | None = None
) -> EditInputs:
    """Leave conditions out at random, so that one network also answers without them.

    draws [batch, 3] uniform in [0, 1): the first decides on instruction and source (5% each alone
    and 5% both, InstructPix2Pix section 3.2.1), the second on all rewards of a sample (10%), the
    third on the mask (50%: then it is white everywhere). A dropped source is zeros, a dropped text
    the ids [tokens] of the empty one.
    """
    first, second, third = draws.unbind(1)
    changes = {
        "text": _where(first < _TEXT_ONLY + _BOTH, empty_text, inputs.text),
        "source": _where(
            (first >= _TEXT_ONLY) & (first < _TEXT_ONLY + _BOTH + _SOURCE_ONLY),
            torch.zeros_like(inputs.source),
            inputs.source,
        ),
    }
    unrewarded = second < _REWARD
    if inputs.keep is not None:
        changes["keep"] = _where(unrewarded, torch.zeros_like(inputs.keep), inputs.keep)
    if inputs.reward_text is not None and empty_reward is not None:
        changes["reward_text"] = _where(unrewarded, empty_reward, inputs.reward_text)
    if inputs.mask is not None:
        changes["mask"] = _where(third < _MASK, torch.ones_like(inputs.mask), inputs.mask)
    return inputs.with_(changes)


def _where(rows: Tensor, chosen: Tensor, other: Tensor) -> Tensor:
    return torch.where(rows.view(-1, *(1,) * (other.ndim - 1)), chosen, other)
