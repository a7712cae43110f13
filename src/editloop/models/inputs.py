"""The conditions of a batch of edits, as tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

__all__ = ["EditInputs"]


@dataclass(frozen=True, slots=True)
class EditInputs:
    """The conditions of a batch of edits; None if a network is not conditioned on it.

    source: [batch, c, h, w], latents of the pictures to edit;
    text: [batch, tokens], the instructions' ids;
    mask: where editing is allowed: for the pocket model [batch, 1, height, width] of 0 or 1 in
    pixels, else the masks' latents [batch, c, h, w];
    scores: [batch, 3] in 0..5 in the order of PERSPECTIVES;
    keep: [batch, 3], 1 for scores that are given, else 0;
    reward_text: [batch, tokens], the reward texts' ids.
    """

    source: Tensor
    text: Tensor
    mask: Tensor | None = None
    scores: Tensor | None = None
    keep: Tensor | None = None
    reward_text: Tensor | None = None

    def __len__(self) -> int:
        return len(self.source)

    def with_(self, changes: Mapping[str, Tensor]) -> EditInputs:
        """Return these inputs with some of them replaced."""
        return replace(self, **changes)

    def mapped(self, change: Callable[[Tensor], Tensor]) -> EditInputs:
        """Return these inputs with `change` applied to each tensor."""
        there = {item.name: getattr(self, item.name) for item in fields(self)}
        return self.with_({name: change(each) for name, each in there.items() if each is not None})

    def to(self, device: torch.device | str) -> EditInputs:
        """Return these inputs on a device."""
        return self.mapped(lambda each: each.to(device))
