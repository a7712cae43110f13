"""The schedule of a training: steps, learning rate, optimiser, logging and checkpoints."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Literal, TypeAlias

import torch
from torch import nn

from editloop.errors import TrainingError, UnavailableError
from editloop.schema import Json, canonical_json

__all__ = [
    "LearningRateSchedule",
    "Optimiser",
    "OptimiserName",
    "Schedule",
    "check_schedule",
    "compiled",
    "is_longer",
    "is_lower_rate",
    "learning_rate",
    "make_optimiser",
]

LearningRateSchedule: TypeAlias = Literal["cosine", "constant"]
OptimiserName: TypeAlias = Literal["adamw", "adamw-8bit"]


@dataclass(frozen=True, slots=True)
class Optimiser:
    """AdamW and its settings; `adamw-8bit` keeps its moments in 8 bits (bitsandbytes)."""

    name: OptimiserName = "adamw"
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.01
    clip: float = 1.0


@dataclass(frozen=True, slots=True)
class Schedule:
    """The steps, batch size, learning rate and checkpoints of a training.

    A step has `batch` samples, over all processes; at most `micro` of them are in a process's
    memory at a time, and their gradients are accumulated. Every `checkpoint_every` steps, and at
    the end, the averaged weights (of decay `average`; None keeps no average) are validated and a
    checkpoint is written, of which the last `keep` are kept; every `log_every` steps the loss is
    logged.
    """

    name: str
    steps: int
    batch: int
    learning_rate: float
    seed: int
    schedule: LearningRateSchedule = "cosine"
    warm_up: int = 50
    optimiser: Optimiser = Optimiser()
    average: float | None = 0.995
    micro: int | None = None
    checkpoint_every: int = 250
    log_every: int = 10
    keep: int = 2
    compile: bool = False
    trackers: tuple[str, ...] = ()


def learning_rate(plan: Schedule, step: int) -> float:
    """Return the learning rate of a step.

    After a linear warm-up it is constant, or falls along half a cosine to zero at the last step.
    """
    warm = min(1.0, (step + 1) / plan.warm_up) if plan.warm_up else 1.0
    if plan.schedule == "constant":
        return plan.learning_rate * warm
    return plan.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * step / plan.steps))


def is_lower_rate(before: Mapping[str, Json], after: Mapping[str, Json]) -> bool:
    """Return whether two trainings' parameters differ only in that the learning rate is lower."""
    rates = before.get("learning_rate"), after["learning_rate"]
    return _same(before, after, "learning_rate") and _is_number(rates[0]) and rates[1] < rates[0]


def is_longer(before: Mapping[str, Json], after: Mapping[str, Json]) -> bool:
    """Return whether a training has more steps than before, at a rate that is not higher.

    Nothing else may differ. Raises TrainingError where only the steps differ and are fewer.
    """
    steps = before.get("steps"), after["steps"]
    if not _is_number(steps[0]) or steps[0] == steps[1]:
        return False
    if steps[1] < steps[0]:
        if _same(before, after, "steps"):
            raise _shorter(before["steps"], after["steps"])
        return False
    alike = {**after, "steps": steps[0]}
    return _same(before, alike) or is_lower_rate(before, alike)


def _same(before: Mapping[str, Json], after: Mapping[str, Json], name: str = "") -> bool:
    """Return whether two trainings' parameters are the same but for one of them."""
    one, other = (
        {key: each for key, each in made.items() if key != name} for made in (before, after)
    )
    return canonical_json(one) == canonical_json(other)


def _is_number(value: Json) -> bool:
    return isinstance(value, int | float)


def _shorter(before: int, after: int) -> TrainingError:
    return TrainingError(
        "a training that began with more steps cannot be made shorter",
        value=f"steps: {before} -> {after}",
        fix=f"set steps to {before} or more (the checkpoints that are kept, in "
        "models/NAME/checkpoints, are editors of fewer steps), or train anew with --new-version or "
        "in another folder",
    )


def check_schedule(plan: Schedule) -> None:
    """Raise UnavailableError if a package that the schedule needs is not installed."""
    for name in plan.trackers:  # accelerate would silently skip it
        if find_spec(name) is None:
            raise UnavailableError(
                "a tracker's package is not installed", value=name, command=f"pip install {name}"
            )
    if plan.optimiser.name == "adamw-8bit" and find_spec("bitsandbytes") is None:
        raise UnavailableError(
            "8-bit Adam needs bitsandbytes", value="adamw-8bit", command="pip install bitsandbytes"
        )


def compiled(network: nn.Module) -> nn.Module:
    """Return the network compiled by torch; it shares the network's parameters.

    On CPUs, layout optimisation is off: with it, torch 2.13 loses the gradients behind a UNet's
    upsampling.
    """
    options = None if torch.accelerator.is_available() else {"layout_optimization": False}
    made: nn.Module = torch.compile(network, options=options)  # type: ignore[assignment,arg-type]
    return made


def make_optimiser(settings: Optimiser, network: nn.Module, rate: float) -> Any:
    """Return the optimiser of a network's trained parameters; call `check_schedule` before."""
    trained = [each for each in network.parameters() if each.requires_grad]
    options: dict[str, Any] = {
        "lr": rate,
        "betas": settings.betas,
        "weight_decay": settings.weight_decay,
    }
    if settings.name == "adamw":
        return torch.optim.AdamW(trained, fused=True, **options)
    import bitsandbytes  # type: ignore[import-not-found]

    return bitsandbytes.optim.AdamW8bit(trained, **options)
