"""The training loop for any network: seeded, bit-exactly resumable, with averaged weights.

No random state is carried from step to step: a step's samples and random numbers depend only on the
seed and the step's number. So the state is the step, the weights, their average and the optimiser's
moments, and a resumed run ends with the same bits as an uninterrupted one, on the same machine with
the same number of threads and processes.

The loop doesn't depend on pictures: a `Task` provides the samples and their loss.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

import numpy as np
import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.utils import FullyShardedDataParallelPlugin
from numpy.typing import NDArray
from rich.console import Console
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from editloop.errors import TrainingError
from editloop.runtime.prefetching import prefetched
from editloop.runtime.ranks import spreads_weights
from editloop.runtime.seeding import derive_seed
from editloop.training import checkpoints
from editloop.training.finite import diverged
from editloop.training.order import BatchOrder
from editloop.training.schedule import (
    Schedule,
    check_schedule,
    compiled,
    learning_rate,
    make_optimiser,
)
from editloop.training.sharding import check_sharding, shard, unshard
from editloop.training.state import TrainingState
from editloop.training.trained import Trained, best_of, course
from editloop.training.watching import Metrics, watched

__all__ = ["CHECKPOINTS", "METRICS", "Batch", "Task", "train"]

METRICS = "metrics.jsonl"
CHECKPOINTS = "checkpoints"


class Batch(Protocol):
    """The samples of a step after all random draws."""

    def __len__(self) -> int: ...

    def part(self, start: int, stop: int) -> Self:
        """Return the samples from `start` up to `stop`, in order."""
        ...


_Batch = TypeVar("_Batch", bound=Batch)


class Task(Protocol[_Batch]):
    """The learning task: samples by number, and the loss of a network on a batch of them."""

    @property
    def buckets(self) -> Sequence[NDArray[np.int64]]:
        """The numbers of all samples; a batch holds samples of one bucket only."""
        ...

    def batch(self, samples: NDArray[np.int64], seeds: Sequence[int]) -> _Batch:
        """Return a process's samples of a step.

        All random draws for a sample depend on its own seed, so they don't depend on the number of
        processes.
        """
        ...

    def loss(self, network: nn.Module, batch: _Batch) -> Tensor:
        """Return the mean loss of a batch, without waiting for the device."""
        ...

    def validate(self, network: nn.Module, step: int) -> float | None:
        """Validate the averaged network at a checkpoint.

        Returns the loss on held-out samples at fixed noise, or None if there are none.
        """
        ...


def train(
    network: nn.Module,
    task: Task[Any],
    plan: Schedule,
    folder: Path,
    *,
    prompts: NDArray[np.int64] | None = None,
) -> Trained:
    """Train a network in place, continuing from the newest checkpoint in `folder` if there is one.

    With `prompts`, the prompt of each sample, an epoch has one random sample of each prompt.
    Only parameters that require a gradient are trained. At the end the network has its averaged
    weights (with FSDP in the main process only); METRICS and CHECKPOINTS are written to `folder`.
    Raises TrainingError if the loss, a gradient, the weights or the validation become NaN or
    infinite; the last checkpoint is then the last one without such values.
    """
    run = _Run(network, task, plan, folder, prompts)
    steps = range(run.step, plan.steps)
    with watched(plan.name, plan.steps, run.step, shown=run.accelerator.is_main_process) as show:
        for step, batch in zip(steps, prefetched(run.batch, steps, 1, depth=1), strict=True):
            show(run.advance(step, batch))
    return run.finish()


class _Run:
    """One training in progress."""

    def __init__(
        self,
        network: nn.Module,
        task: Task[Any],
        plan: Schedule,
        folder: Path,
        prompts: NDArray[np.int64] | None,
    ) -> None:
        check_schedule(plan)
        self.accelerator = _accelerator(plan, folder)
        self.task = task
        self.plan = plan
        self.own = _share(self.accelerator, plan)
        self.order = BatchOrder(task.buckets, plan.batch, plan.seed, prompts)
        self.checkpoints = folder / CHECKPOINTS
        self.metrics = Metrics(folder / METRICS, written=self.accelerator.is_main_process)
        self.step = 0
        self.rates = [(0, plan.learning_rate)]
        self.cosines = [(0, plan.steps)] if plan.schedule == "cosine" else []
        self.seconds = 0.0
        self.steps_here = 0
        self.draws_inside = _drops_out(network)
        network.train()
        self.plain = self.network = network
        spread = spreads_weights()
        if spread:
            shard(network)
        self.optimiser = make_optimiser(plan.optimiser, network, plan.learning_rate)
        if not spread:
            self.network, self.optimiser = self.accelerator.prepare(network, self.optimiser)
        self.called: nn.Module = self.network
        if plan.compile:
            self.called = compiled(self.network)
        self.state = TrainingState(self.plain, self.optimiser, plan.average)
        self._restore()
        if plan.trackers:
            self.accelerator.init_trackers(plan.name)

    def batch(self, step: int) -> Any:
        """Return this process's samples of a step, with their random draws."""
        places = range(self.plan.batch)[self.own]
        seeds = [derive_seed(self.plan.seed, "step", step, place) for place in places]
        return self.task.batch(self.order.at(step)[self.own], seeds)

    def advance(self, step: int, batch: Any) -> float | None:
        """Run one optimiser step; return the loss at steps where it is logged."""
        started = time.perf_counter()
        if self.draws_inside:  # dropout uses torch's global random state
            rank = self.accelerator.process_index
            torch.manual_seed(derive_seed(self.plan.seed, "dropout", step, rank))
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.plan, step)
        loss = self._accumulated(batch)
        self.metrics.add(loss, self._clipped())
        self.optimiser.step()
        self.optimiser.zero_grad()
        self.state.average_in()
        self.step = step + 1
        self.steps_here += 1
        self.seconds += time.perf_counter() - started
        if self.step % self.plan.checkpoint_every == 0 or self.step == self.plan.steps:
            return self._rest()
        return self._note(self._loss()) if self.step % self.plan.log_every == 0 else None

    def _accumulated(self, batch: Any) -> Tensor:
        """Accumulate the gradients of a batch; return its mean loss, on the device."""
        count = len(batch)
        size = min(self.plan.micro or count, count)
        losses = []
        for start in range(0, count, size):
            part = batch if size == count else batch.part(start, min(start + size, count))
            last = start + size >= count
            with nullcontext() if last else self.accelerator.no_sync(self.network):
                loss = self.task.loss(self.called, part) * (len(part) / count)
                self.accelerator.backward(loss)
            losses.append(loss.detach())
        return losses[0] if len(losses) == 1 else torch.stack(losses).sum()

    def _clipped(self) -> Tensor:
        """Clip the gradient; return its norm before."""
        parameters = self.network.parameters()
        norm = self.accelerator.clip_grad_norm_(parameters, self.plan.optimiser.clip)
        return norm.full_tensor() if isinstance(norm, DTensor) else norm

    def _loss(self) -> float:
        """Return the mean loss since the last call; raise TrainingError if it is not finite."""
        return self.metrics.take(self.step, across=self.accelerator.reduce)

    def _note(self, loss: float, validation_loss: float | None = None) -> float:
        self.metrics.write(self.step, loss, validation_loss)
        if self.plan.trackers:
            known = {"loss": loss, "validation_loss": validation_loss}
            self.accelerator.log({k: v for k, v in known.items() if v is not None}, step=self.step)
        return loss

    def _rest(self) -> float:
        """Validate the averaged weights, log the losses, and write a checkpoint."""
        loss = self._loss()
        for part, finite in self.state.finite().items():
            if self.accelerator.reduce(finite, "mean") < 1:
                raise diverged(part, self.step)
        with self.state.averaged():
            self.plain.eval()
            with torch.no_grad():
                validation_loss = self.task.validate(self.plain, self.step)
            self.plain.train()
        if validation_loss is not None and not math.isfinite(validation_loss):
            raise diverged("the validation loss", self.step)
        self._note(loss, validation_loss)
        changes = {"learning_rates": self.rates, "cosines": self.cosines}
        state = {"step": self.step, **changes, **self.state.save()}
        if self.accelerator.is_main_process:
            checkpoints.save(
                self.checkpoints, self.step, state, keep=self.plan.keep, best=self._best
            )
        self.accelerator.wait_for_everyone()
        return loss

    def _best(self, steps: Iterable[int]) -> int | None:
        """Return the step of the best checkpoint by its validation loss, if there is one."""
        best = best_of(self.metrics.checkpoints(steps))
        return None if best is None else best.step

    def _restore(self) -> None:
        state = checkpoints.load_newest(self.checkpoints)
        if state is not None:
            self.step = state["step"]
            self.state.restore(state)
            self.rates = state.get("learning_rates", self.rates)
            self.cosines = state.get("cosines", self.cosines)
            if self.step < self.plan.steps:
                self._note_changes()
        self.metrics.rewind(self.step)
        self.accelerator.wait_for_everyone()

    def _note_changes(self) -> None:
        """Record a rate or a cosine that is another than before, and tell of the cosine."""
        if self.rates[-1][1] != self.plan.learning_rate:
            self.rates.append((self.step, self.plan.learning_rate))
        if self.cosines and self.cosines[-1][1] != self.plan.steps:
            self.cosines.append((self.step, self.plan.steps))
            self.metrics.news = {"cosine_steps": self.plan.steps}
            if self.accelerator.is_main_process:
                told = list(course({"cosines": self.cosines}))[-1]
                Console(stderr=True, soft_wrap=True, highlight=False).print(told)

    def finish(self) -> Trained:
        """Leave the averaged weights in the network, and return the result."""
        self.state.keep_average()
        self.plain.eval()
        unshard(self.plain)
        for tracker in self.accelerator.trackers:  # `end_training` ends the process group too
            tracker.finish()
        return Trained(
            checkpoints=self.metrics.checkpoints(checkpoints.kept_steps(self.checkpoints)),
            steps=self.steps_here,
            seconds=self.seconds,
            learning_rates=tuple(self.rates),
            cosines=tuple(self.cosines),
        )


def _accelerator(plan: Schedule, folder: Path) -> Accelerator:
    spreading = FullyShardedDataParallelPlugin() if spreads_weights() else None
    if spreading is not None:
        check_sharding(spreading, plan.optimiser.name)
    return Accelerator(
        mixed_precision="no",  # the task chooses its precision
        cpu=not torch.accelerator.is_available(),
        log_with=list(plan.trackers) or None,
        project_dir=folder,
        fsdp_plugin=spreading,
        kwargs_handlers=[DistributedDataParallelKwargs(gradient_as_bucket_view=True)],
    )


def _share(accelerator: Accelerator, plan: Schedule) -> slice:
    """Return the slice of a step's samples for this process."""
    ranks = accelerator.num_processes
    if plan.batch % ranks:
        raise TrainingError(
            "a batch cannot be split evenly over the processes",
            value=f"batch {plan.batch}, {ranks} processes",
            fix=f"set batch to a multiple of {ranks}",
        )
    return slice(accelerator.process_index, None, ranks)


def _drops_out(network: nn.Module) -> bool:
    return any(isinstance(each, nn.Dropout) and each.p > 0 for each in network.modules())
