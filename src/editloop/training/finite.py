"""Detection of NaN and infinite values, which a training must neither save nor start from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from editloop.errors import TrainingError

__all__ = ["all_finite", "diverged", "whole_is_finite"]


def all_finite(tensors: Iterable[Tensor], device: torch.device) -> Tensor:
    """Return, as a float on the device, 1 if all values of some tensors are finite, else 0."""
    found = [each.isfinite().all().to(device) for each in tensors]
    return torch.stack(found).all().float() if found else torch.ones((), device=device)


def whole_is_finite(state: Any) -> bool:
    """Return whether all tensors in a nest of mappings and sequences are finite."""
    if isinstance(state, Tensor):
        return bool(state.isfinite().all())
    if isinstance(state, Mapping):
        return all(map(whole_is_finite, state.values()))
    if isinstance(state, list | tuple):
        return all(map(whole_is_finite, state))
    return True


def diverged(what: str, step: int) -> TrainingError:
    """Return the error of a training in which something became NaN or infinite."""
    return TrainingError(
        f"{what} became NaN or infinite, so this step is not saved",
        value=f"step {step}",
        fix="run the same command with a lower rate (--set learning_rate=RATE, or in a recipe "
        "--set train.NAME.learning_rate=RATE): it goes on from the last checkpoint",
    )
