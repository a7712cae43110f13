"""How a training goes: how long, how fast, by which optimiser, and when it rests."""

from __future__ import annotations

import math
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Literal, TypeAlias

import torch
from torch import nn

from editloop.errors import UnavailableError

__all__ = [
    "LearningRateSchedule",
    "Optimiser",
    "OptimiserName",
    "Schedule",
    "check_schedule",
    "compiled",
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
    """How long and how fast to learn.

    `batch` samples make a step, over all processes; at most `micro` of them are in a process's
    memory at a time, and their gradients are added up. Every `rest` steps, and at the end, the
    average (of decay `average`; None keeps none) is validated and a checkpoint written, of which
    the last `keep` stay; every `note` steps the loss is written down.
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
    rest: int = 250
    note: int = 10
    keep: int = 2
    compile: bool = False
    trackers: tuple[str, ...] = ()


def learning_rate(plan: Schedule, step: int) -> float:
    """A linear warm-up; then as it is, or half a cosine down to zero at the last step."""
    warm = min(1.0, (step + 1) / plan.warm_up) if plan.warm_up else 1.0
    if plan.schedule == "constant":
        return plan.learning_rate * warm
    return plan.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * step / plan.steps))


def check_schedule(plan: Schedule) -> None:
    """Raise UnavailableError for an absent package."""
    for name in plan.trackers:  # accelerate would only leave it out
        if find_spec(name) is None:
            raise UnavailableError(
                "a tracker's package is not installed", value=name, command=f"pip install {name}"
            )
    if plan.optimiser.name == "adamw-8bit" and find_spec("bitsandbytes") is None:
        raise UnavailableError(
            "8-bit Adam needs bitsandbytes", value="adamw-8bit", command="pip install bitsandbytes"
        )


def compiled(network: nn.Module) -> nn.Module:
    """The network as torch compiles it; its parameters are the network's own.

    For CPUs torch 2.13 loses the gradients behind a UNet's upsampling where it also reorders the
    layout of convolutions, so there it does not.
    """
    options = None if torch.accelerator.is_available() else {"layout_optimization": False}
    made: nn.Module = torch.compile(network, options=options)  # type: ignore[assignment,arg-type]
    return made


def make_optimiser(settings: Optimiser, network: nn.Module, rate: float) -> Any:
    """The optimiser over what is trained of a network; `check_schedule` says what it needs."""
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
