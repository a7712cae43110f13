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
    "Optimiser",
    "OptimiserName",
    "Plan",
    "Schedule",
    "check_trackers",
    "learning_rate",
    "make_optimiser",
]

Schedule: TypeAlias = Literal["cosine", "constant"]
OptimiserName: TypeAlias = Literal["adamw", "adamw-8bit"]


@dataclass(frozen=True, slots=True)
class Optimiser:
    """AdamW and its settings; `adamw-8bit` keeps its moments in 8 bits (bitsandbytes)."""

    name: OptimiserName = "adamw"
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.01
    clip: float = 1.0


@dataclass(frozen=True, slots=True)
class Plan:
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
    schedule: Schedule = "cosine"
    warm_up: int = 50
    optimiser: Optimiser = Optimiser()
    average: float | None = 0.995
    micro: int | None = None
    rest: int = 250
    note: int = 10
    keep: int = 2
    compile: bool = False
    trackers: tuple[str, ...] = ()


def learning_rate(plan: Plan, step: int) -> float:
    """A linear warm-up; then as it is, or half a cosine down to zero at the last step."""
    warm = min(1.0, (step + 1) / plan.warm_up) if plan.warm_up else 1.0
    if plan.schedule == "constant":
        return plan.learning_rate * warm
    return plan.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * step / plan.steps))


def check_trackers(plan: Plan) -> None:
    """Raise UnavailableError for an absent package, which accelerate would only leave out."""
    for name in plan.trackers:
        if find_spec(name) is None:
            raise UnavailableError(
                "a tracker's package is not installed", value=name, command=f"pip install {name}"
            )


def make_optimiser(settings: Optimiser, network: nn.Module, rate: float) -> Any:
    """The optimiser over what is trained of a network; UnavailableError without its package."""
    trained = [each for each in network.parameters() if each.requires_grad]
    options: dict[str, Any] = {
        "lr": rate,
        "betas": settings.betas,
        "weight_decay": settings.weight_decay,
    }
    if settings.name == "adamw":
        return torch.optim.AdamW(trained, fused=True, **options)
    try:
        import bitsandbytes  # type: ignore[import-not-found]
    except ImportError as error:
        raise UnavailableError(
            "8-bit Adam needs bitsandbytes", value="adamw-8bit", command="pip install bitsandbytes"
        ) from error
    return bitsandbytes.optim.AdamW8bit(trained, **options)
