"""What a network is told about an edit: one batch of conditions, as tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

__all__ = ["EditInputs"]


@dataclass(frozen=True, slots=True)
class EditInputs:
    """The conditions of a batch of edits; None where a network is not conditioned on it.

    source: [batch, c, h, w], latents of the pictures to edit;
    text: [batch, tokens], the instructions' ids;
    mask: where editing is allowed: the pocket model's [batch, 1, height, width] of 0 or 1 in
    pixels, or the masks' latents [batch, c, h, w];
    scores: [batch, 3] in 0..5 in the order of PERSPECTIVES, and
    keep: [batch, 3] of 0 or 1: which of them are given;
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
        """These inputs with some of them replaced."""
        return replace(self, **changes)

    def mapped(self, change: Callable[[Tensor], Tensor]) -> EditInputs:
        """These inputs with each of them changed alike, such as moved or cut."""
        there = {item.name: getattr(self, item.name) for item in fields(self)}
        return self.with_({name: change(each) for name, each in there.items() if each is not None})

    def to(self, device: torch.device | str) -> EditInputs:
        """These inputs on a device."""
        return self.mapped(lambda each: each.to(device))
