"""The training task: samples, the objective and dropped conditions, for the training loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from editloop.models.inputs import EditInputs
from editloop.models.sampling import noise_like
from editloop.models.schedules import NoiseLevels
from editloop.runtime.seeding import derive_seed
from editloop.training.objective import (
    Objective,
    add_noise,
    chosen_levels,
    drop_conditions,
    flow_picture,
    losses_of,
    min_snr_weights,
    wanted_output,
)

__all__ = ["EditBatch", "EditModel", "EditTask", "Samples", "edit_loss"]

_VALIDATED = 64  # held-out samples
_AT_ONCE = 16  # held-out samples per batch, so that large networks fit in memory
_Numbers = NDArray[np.int64]


class EditModel(Protocol):
    """The part of a model that training uses: its noise levels, and how it reads conditions."""

    @property
    def levels(self) -> NoiseLevels: ...

    @property
    def device(self) -> torch.device: ...

    def given(self, inputs: EditInputs, guidance: float | None = None) -> Any:
        """Return the conditions in the form that the network takes; frozen encoders run here.

        `guidance` is an input of a distilled network.
        """
        ...


class Samples(Protocol):
    """Samples of a data set by number, in the form that a model takes."""

    def __len__(self) -> int: ...

    @property
    def buckets(self) -> Sequence[_Numbers]:
        """The numbers of the samples of each picture size."""
        ...

    def read(self, samples: _Numbers, seeds: Sequence[int] | None) -> tuple[Tensor, EditInputs]:
        """Return the targets' latents [batch, c, h, w] and the conditions of samples of one bucket.

        Flips and the encoder's noise depend on each sample's own seed; without seeds reading is
        deterministic.
        """
        ...

    def shape(self, sample: int) -> tuple[int, int, int]:
        """Return the shape [c, h, w] of a sample's latents."""
        ...

    def blanks(self, sample: int) -> Mapping[str, Tensor]:
        """Return the replacements of a dropped text, reward text and mask at a sample's size."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class EditBatch:
    """A batch of edits after all random draws.

    clean and noise: latents [batch, c, h, w]; levels: indices [batch] into the noise levels.
    """

    clean: Tensor
    inputs: EditInputs
    noise: Tensor
    levels: Tensor

    def __len__(self) -> int:
        return len(self.clean)

    def part(self, start: int, stop: int) -> EditBatch:
        """Return the edits from `start` up to `stop`."""
        return self._mapped(lambda each: each[start:stop])

    def to(self, device: torch.device) -> EditBatch:
        """Return the batch on a device; copying from pinned memory is asynchronous."""
        return self._mapped(lambda each: each.to(device, non_blocking=True))

    def pinned(self) -> EditBatch:
        """Return the batch in pinned memory."""
        return self._mapped(Tensor.pin_memory)

    def _mapped(self, change: Callable[[Tensor], Tensor]) -> EditBatch:
        tensors = (change(each) for each in (self.clean, self.noise, self.levels))
        clean, noise, levels = tensors
        return EditBatch(clean, self.inputs.mapped(change), noise, levels)


def edit_loss(
    model: EditModel, objective: Objective, network: nn.Module, batch: EditBatch, *, bf16: bool
) -> Tensor:
    """The objective's mean over a batch; with `bf16` the network computes in bfloat16."""
    there = batch.to(model.device)
    levels = model.levels.to(there.clean.device)
    alpha, sigma = levels.alpha[there.levels], levels.sigma[there.levels]
    noisy = add_noise(there.clean, there.noise, alpha, sigma)
    with torch.autocast(there.clean.device.type, torch.bfloat16, enabled=bf16):
        given = model.given(there.inputs, objective.guidance)
        output = network(noisy, levels.timestep[there.levels], given)
    prediction = levels.prediction
    if prediction == "flow" and objective.flow_loss == "x0":
        output, prediction = flow_picture(noisy, output, sigma), "x0"
    wanted = wanted_output(prediction, there.clean, there.noise, alpha, sigma)
    losses = losses_of(objective.loss, output, wanted)
    if objective.weighting == "min-snr":
        losses = losses * min_snr_weights(prediction, alpha, sigma)
    return losses.mean()


def _drawn(seed: int, shape: tuple[int, ...]) -> tuple[Tensor, Tensor, int]:
    """Return a sample's noise, its draws [4] for noise level and dropped conditions, and a seed."""
    random = torch.Generator().manual_seed(seed)
    noise = torch.randn(shape, generator=random)
    draws = torch.rand(4, generator=random)
    return noise, draws, int(torch.randint(2**62, (), generator=random))


@dataclass(frozen=True, slots=True)
class EditTask:
    """The task of denoising latents of the edited picture under its conditions.

    Validation uses fixed noise from `seed` and evenly spread noise levels, and drops no condition.
    With `bf16`, the network computes in bfloat16 and keeps its weights in float32. `look` is called
    with the network and the step at each validation.
    """

    model: EditModel
    samples: Samples
    heldout: Samples | None
    objective: Objective
    bf16: bool
    seed: int
    look: Callable[[nn.Module, int], None] | None = None

    @property
    def buckets(self) -> Sequence[_Numbers]:
        return self.samples.buckets

    def batch(self, samples: _Numbers, seeds: Sequence[int]) -> EditBatch:
        first = int(samples[0])
        shape = self.samples.shape(first)
        noise, draws, own = zip(*(_drawn(seed, shape) for seed in seeds), strict=True)
        table = torch.stack(draws)
        clean, inputs = self.samples.read(samples, own)
        blanks = self.samples.blanks(first)
        made = EditBatch(
            clean=clean,
            inputs=drop_conditions(inputs, table[:, 1:], blanks, self.objective.drop),
            noise=torch.stack(noise),
            levels=chosen_levels(self.objective.timesteps, table[:, 0], len(self.model.levels)),
        )
        return made.pinned() if self.model.device.type == "cuda" else made

    def loss(self, network: nn.Module, batch: EditBatch) -> Tensor:
        """Return the mean of the objective over a batch."""
        return edit_loss(self.model, self.objective, network, batch, bf16=self.bf16)

    def validate(self, network: nn.Module, step: int) -> float | None:
        if self.look is not None:
            with torch.autocast(self.model.device.type, torch.bfloat16, enabled=self.bf16):
                self.look(network, step)
        return None if self.heldout is None else self._validation_loss(network, self.heldout)

    def _validation_loss(self, network: nn.Module, heldout: Samples) -> float:
        """Return the mean loss over the first held-out samples, one bucket after another."""
        total, count = 0.0, 0
        for bucket in heldout.buckets:
            numbers = bucket[: max(0, _VALIDATED - count)]
            for start in range(0, len(numbers), _AT_ONCE):
                chunk = numbers[start : start + _AT_ONCE]
                total += self.loss(network, self._fixed(heldout, chunk)).item() * len(chunk)
            count += len(numbers)
        return total / count

    def _fixed(self, heldout: Samples, numbers: _Numbers) -> EditBatch:
        clean, inputs = heldout.read(numbers, None)
        count = min(_VALIDATED, len(heldout))
        seeds = [derive_seed(self.seed, "validation", int(each)) for each in numbers]
        spread = torch.from_numpy(numbers) % count * len(self.model.levels) // count
        return EditBatch(clean, inputs, noise_like(clean, seeds), spread)
