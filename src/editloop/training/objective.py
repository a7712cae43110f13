"""The training objective as pure functions: noise, prediction target, loss, dropout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from editloop.models.inputs import EditInputs
from editloop.models.schedules import Prediction

__all__ = [
    "DropRates",
    "FlowLoss",
    "Loss",
    "Objective",
    "Timesteps",
    "Weighting",
    "add_noise",
    "chosen_levels",
    "drop_conditions",
    "flow_picture",
    "losses_of",
    "min_snr_weights",
    "wanted_output",
]

Loss: TypeAlias = Literal["rms", "l1", "mse"]
Timesteps: TypeAlias = Literal["uniform", "mostly-last", "logit-normal"]
Weighting: TypeAlias = Literal["plain", "min-snr"]
FlowLoss: TypeAlias = Literal["velocity", "x0"]

_LAST_SHARE = 0.75
_SMOOTH = 1e-4  # of rms: below an error of 0.01 its gradient goes to 0
_GAMMA = 5.0


@dataclass(frozen=True, slots=True)
class DropRates:
    """The probabilities of dropping conditions in training.

    `text`, `source` and `both`: the instruction, the source, and both (InstructPix2Pix, section
    3.2.1); `reward`: all rewards of a sample; `mask`: the mask becomes white. `mask_with_source`: a
    dropped source also sets the mask to zeros, as diffusion models edit (`denoised`).
    """

    text: float = 0.05
    both: float = 0.05
    source: float = 0.05
    reward: float = 0.0
    mask: float = 0.0
    mask_with_source: bool = False


@dataclass(frozen=True, slots=True)
class Objective:
    """The function that training minimises.

    `flow_loss`: what the loss of flow matching is an error of. `guidance` is the input of a
    distilled network; None is 1.
    """

    loss: Loss = "mse"
    timesteps: Timesteps = "uniform"
    weighting: Weighting = "plain"
    flow_loss: FlowLoss = "velocity"
    guidance: float | None = None
    drop: DropRates = DropRates()


def add_noise(clean: Tensor, noise: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    """Return z = alpha x + sigma e (DDPM, equation 4; flow matching); alpha, sigma: [batch]."""
    return _each(alpha, clean) * clean + _each(sigma, clean) * noise


def wanted_output(
    prediction: Prediction, clean: Tensor, noise: Tensor, alpha: Tensor, sigma: Tensor
) -> Tensor:
    """Return the target output of a network with this kind of prediction.

    x0: x; epsilon: e; v: alpha e - sigma x (Salimans and Ho, 2022, appendix D); flow: e - x
    (rectified flow, Esser et al., 2024, section 2).
    """
    if prediction == "x0":
        return clean
    if prediction == "epsilon":
        return noise
    if prediction == "flow":
        return noise - clean
    return _each(alpha, clean) * noise - _each(sigma, clean) * clean


def flow_picture(noisy: Tensor, velocity: Tensor, sigma: Tensor) -> Tensor:
    """Return the picture that a velocity predicts: x = z - s v, for z = (1 - s) x + s e.

    Its squared error is s^2 times that of the velocity. The SD3 scripts of UltraEdit and diffusers
    train on it ("preconditioned" outputs).
    """
    return noisy.float() - _each(sigma, noisy) * velocity.float()


def losses_of(kind: Loss, output: Tensor, wanted: Tensor) -> Tensor:
    """Return the loss of each sample: [batch, ...] -> [batch].

    mse: mean squared error; l1: mean absolute error; rms: root mean squared error. If targets have
    faults, mse learns their average and l1 the median of each value, which for many small edits
    means no change at all. rms learns a median of whole pictures, so that a small edit weighs as
    much as one of the whole picture.
    """
    difference = (output.float() - wanted.float()).flatten(1)
    if kind == "l1":
        return difference.abs().mean(1)
    squares = difference.square().mean(1)
    return squares if kind == "mse" else (squares + _SMOOTH).sqrt()


def min_snr_weights(prediction: Prediction, alpha: Tensor, sigma: Tensor) -> Tensor:
    """Return min-SNR weights [batch] with gamma 5 (Hang et al., 2023, section 3.4).

    SNR = alpha^2 / sigma^2. The weight on the error of x0 is min(SNR, 5). The squared error of
    epsilon is SNR times that of x0, and that of v and flow is SNR + 1 times, up to a factor that
    depends on the noise level only.
    """
    ratio = alpha.square() / sigma.square().clamp(min=1e-12)
    clipped = ratio.clamp(max=_GAMMA)
    if prediction == "x0":
        return clipped
    return clipped / (ratio if prediction == "epsilon" else ratio + 1)


def chosen_levels(kind: Timesteps, draws: Tensor, count: int) -> Tensor:
    """Return indices [batch] into a table of `count` noise levels, from uniform draws in [0, 1).

    mostly-last: the last level (pure noise, where sampling starts) with probability 3/4, else
    uniform; at lower levels the noisy picture already shows the result, so little is learned about
    the instruction and the reward. logit-normal: mean 0, scale 1 (Esser et al., 2024, section 3.1).
    """
    if kind == "mostly-last":
        below = (draws - _LAST_SHARE) / (1 - _LAST_SHARE)
        return torch.where(below < 0, count - 1, (count * below).long().clamp(0, count - 1))
    if kind == "logit-normal":
        draws = torch.special.ndtri(draws.double().clamp(1e-9, 1 - 1e-9)).sigmoid()
    return (count * draws).long().clamp(0, count - 1)


def drop_conditions(
    inputs: EditInputs, draws: Tensor, blanks: Mapping[str, Tensor], rates: DropRates
) -> EditInputs:
    """Drop conditions at random, so that the network also works without them.

    draws [batch, 3] uniform in [0, 1): the first decides on instruction and source, the second on
    all rewards of a sample, the third on the mask. A dropped source becomes zeros; `blanks` are the
    ids of the empty `text` and `reward_text`, and the white `mask`.
    """
    first, second, third = draws.unbind(1)
    both, with_source = rates.text + rates.both, rates.text + rates.both + rates.source
    no_source = (first >= rates.text) & (first < with_source)
    changes = {
        "text": _where(first < both, blanks["text"], inputs.text),
        "source": _where(no_source, torch.zeros_like(inputs.source), inputs.source),
    }
    unrewarded = second < rates.reward
    if inputs.keep is not None:
        changes["keep"] = _where(unrewarded, torch.zeros_like(inputs.keep), inputs.keep)
    if inputs.reward_text is not None:
        changes["reward_text"] = _where(unrewarded, blanks["reward_text"], inputs.reward_text)
    if inputs.mask is not None and rates.mask:
        changes["mask"] = _where(third < rates.mask, blanks["mask"], inputs.mask)
    if inputs.mask is not None and rates.mask_with_source:
        mask = changes.get("mask", inputs.mask)
        changes["mask"] = _where(no_source, torch.zeros_like(mask), mask)
    return inputs.with_(changes)


def _each(values: Tensor, like: Tensor) -> Tensor:
    return values.view(-1, *(1,) * (like.ndim - 1))


def _where(rows: Tensor, chosen: Tensor, other: Tensor) -> Tensor:
    return torch.where(_each(rows, other), chosen, other)
