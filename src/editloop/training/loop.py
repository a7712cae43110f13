"""The training loop for any network: seeded, resumable to the bit, averaged, measured.

Nothing random is carried from step to step: a step's samples and noise follow from the seed and the
step's number. So the whole state is the step, the weights, their average and the optimiser's
moments, and a run that was stopped ends with the same bits as one that was not, on one machine with
one number of threads.

The loop knows nothing of pictures: a `Task` says how many samples there are and what they cost.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from accelerate import Accelerator
from diffusers.training_utils import EMAModel
from numpy.typing import NDArray
from torch import Tensor, nn

from editloop.seeding import derive_seed, generator
from editloop.training import checkpoints
from editloop.training.watching import Metrics, watched

__all__ = ["METRICS", "Plan", "Task", "Trained", "learning_rate", "samples_of", "train"]

METRICS = "metrics.jsonl"
_WARM_UP = 50  # steps
_CLIP = 1.0
_WEIGHT_DECAY = 0.01
_KEPT = 2


class Task(Protocol):
    """What is learned: samples by number, and what a network's answer to some of them costs."""

    def __len__(self) -> int: ...

    def loss(
        self, network: nn.Module, samples: NDArray[np.int64], random: torch.Generator
    ) -> Tensor:
        """The mean loss of these samples; every random draw comes from `random`."""
        ...

    def validation_loss(self, network: nn.Module) -> float | None:
        """The loss on held-out samples at fixed noise; None where there are none."""
        ...


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how fast to learn.

    Every `rest` steps, and at the end, the average is validated and a checkpoint written; every
    `note` steps the loss is written down.
    """

    name: str
    steps: int
    batch: int
    learning_rate: float
    seed: int
    average: float = 0.995
    rest: int = 250
    note: int = 10


@dataclass(frozen=True, slots=True)
class Trained:
    """How a training ended: its last losses; steps and seconds that this process spent on it."""

    loss: float
    validation_loss: float | None
    steps: int
    seconds: float


def learning_rate(plan: Plan, step: int) -> float:
    """A short linear warm-up, then half a cosine down to zero at the last step."""
    warm = min(1.0, (step + 1) / _WARM_UP)
    return plan.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * step / plan.steps))


def samples_of(count: int, plan: Plan, step: int) -> NDArray[np.int64]:
    """The sample numbers of a step: one endless row of passes, each in an order of its own."""
    first = step * plan.batch
    passes = range(first // count, (first + plan.batch - 1) // count + 1)
    start = first - passes[0] * count
    orders = np.concatenate([_order(plan.seed, each, count) for each in passes])
    return orders[start : start + plan.batch]


@lru_cache(maxsize=2)
def _order(seed: int, number: int, count: int) -> NDArray[np.int64]:
    return generator(seed, "order", number).permutation(count)


def train(network: nn.Module, task: Task, plan: Plan, folder: Path) -> Trained:
    """Train a network in place, going on from the newest checkpoint in `folder` if there is one.

    It ends with its averaged weights; `folder` also gets METRICS. Raises TrainingError where the
    loss stops being a number.
    """
    run = _Run(network, task, plan, folder)
    with watched(plan.name, plan.steps, run.step, shown=run.accelerator.is_main_process) as show:
        for step in range(run.step, plan.steps):
            show(run.advance(step))
    return run.finish()


class _Run:
    """One training in progress."""

    def __init__(self, network: nn.Module, task: Task, plan: Plan, folder: Path) -> None:
        self.accelerator = Accelerator(mixed_precision="no")  # the task chooses its precision
        self.task = task
        self.plan = plan
        self.checkpoints = folder / "checkpoints"
        self.metrics = Metrics(folder / METRICS, written=self.accelerator.is_main_process)
        self.step = 0
        self.seconds = 0.0
        self.steps_here = 0
        optimiser = torch.optim.AdamW(
            network.parameters(),
            lr=plan.learning_rate,
            betas=(0.9, 0.99),
            weight_decay=_WEIGHT_DECAY,
            fused=True,
        )
        network.train()
        self.network, self.optimiser = self.accelerator.prepare(network, optimiser)
        self.plain: nn.Module = self.accelerator.unwrap_model(self.network)
        self.average = EMAModel(self.plain.parameters(), decay=plan.average, foreach=True)
        self._restore()

    def advance(self, step: int) -> float | None:
        """One step of the optimiser; the loss where it is time to note it."""
        started = time.perf_counter()
        rank, ranks = self.accelerator.process_index, self.accelerator.num_processes
        samples = samples_of(len(self.task), self.plan, step)[rank::ranks]
        random = torch.Generator().manual_seed(derive_seed(self.plan.seed, "step", step, rank))
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.plan, step)
        loss = self.task.loss(self.network, samples, random)
        self.accelerator.backward(loss)
        self.accelerator.clip_grad_norm_(self.network.parameters(), _CLIP)
        self.optimiser.step()
        self.optimiser.zero_grad()
        self.average.step(self.plain.parameters())
        self.metrics.add(loss.detach())
        self.step = step + 1
        self.steps_here += 1
        self.seconds += time.perf_counter() - started
        if self.step % self.plan.rest == 0 or self.step == self.plan.steps:
            return self._rest()
        return self.metrics.write(self.step) if self.step % self.plan.note == 0 else None

    def _rest(self) -> float:
        """Validate the average, note it, and write a checkpoint."""
        self.average.store(self.plain.parameters())
        self.average.copy_to(self.plain.parameters())
        self.plain.eval()
        with torch.no_grad():
            validation_loss = self.task.validation_loss(self.plain)
        self.plain.train()
        self.average.restore(self.plain.parameters())
        loss = self.metrics.write(self.step, validation_loss)
        if self.accelerator.is_main_process:
            checkpoints.save(self.checkpoints, self.step, self._state(), keep=_KEPT)
        self.accelerator.wait_for_everyone()
        return loss

    def _state(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "network": self.plain.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "average": self.average.state_dict(),
        }

    def _restore(self) -> None:
        state = checkpoints.load_newest(self.checkpoints)
        if state is not None:
            self.step = state["step"]
            self.plain.load_state_dict(state["network"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.average.load_state_dict(state["average"])
        self.average.to(self.accelerator.device)
        self.metrics.rewind(self.step)

    def finish(self) -> Trained:
        """Leave the averaged weights in the network, and sum up."""
        self.average.copy_to(self.plain.parameters())
        self.plain.eval()
        *_, last = self.metrics.lines()
        return Trained(
            loss=last["loss"],
            validation_loss=last.get("validation_loss"),
            steps=self.steps_here,
            seconds=self.seconds,
        )
