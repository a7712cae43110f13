"""How a family reads a text: ids by its tokenizers, states by its frozen encoders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

__all__ = ["ClipPairTexts", "ClipTexts", "TextStates", "Texts", "clip_ids"]


@dataclass(frozen=True, slots=True)
class TextStates:
    """A batch of encoded texts: hidden [batch, tokens, d] and pooled [batch, p]."""

    hidden: Tensor
    pooled: Tensor


class Texts(Protocol):
    """A family's tokenizers and encoders; a text longer than they read is cut at its end."""

    def ids(self, texts: Sequence[str]) -> Tensor:
        """int64 [texts, n]: the ids of every tokenizer, one after another."""
        ...

    def states(self, ids: Tensor) -> TextStates:
        """What the encoders make of ids [batch, n], without gradients."""
        ...


@dataclass(frozen=True, slots=True)
class ClipTexts:
    """Stable Diffusion 1.x and 2.x: one CLIP text encoder, its last layer."""

    tokenizer: Any
    encoder: Any

    def ids(self, texts: Sequence[str]) -> Tensor:
        return clip_ids(self.tokenizer, texts)

    @torch.no_grad()
    def states(self, ids: Tensor) -> TextStates:
        found = self.encoder(ids.to(self.encoder.device))
        return TextStates(found.last_hidden_state, found.pooler_output)


@dataclass(frozen=True, slots=True)
class ClipPairTexts:
    """Stable Diffusion XL: two CLIP encoders, the last layer but one of each, beside each other.

    `blank_is_zero`: the empty text is zeros, as the pipeline has it without a negative prompt.
    """

    tokenizers: tuple[Any, Any]
    encoders: tuple[Any, Any]
    blank_is_zero: bool

    def ids(self, texts: Sequence[str]) -> Tensor:
        return torch.cat([clip_ids(each, texts) for each in self.tokenizers], dim=1)

    @torch.no_grad()
    def states(self, ids: Tensor) -> TextStates:
        device = self.encoders[0].device
        halves = ids.to(device).tensor_split([self.tokenizers[0].model_max_length], dim=1)
        found = [
            encoder(half, output_hidden_states=True)
            for encoder, half in zip(self.encoders, halves, strict=True)
        ]
        hidden = torch.cat([each.hidden_states[-2] for each in found], dim=-1)
        pooled = found[1].text_embeds
        if self.blank_is_zero:
            written = (ids != self.ids([""])).any(1).to(device)
            hidden, pooled = hidden * written[:, None, None], pooled * written[:, None]
        return TextStates(hidden, pooled)


def clip_ids(tokenizer: Any, texts: Sequence[str]) -> Tensor:
    """Ids [texts, n] as CLIP reads them: padded, and cut, to its n tokens."""
    whole = [text.encode("utf-8", "replace").decode() for text in texts]  # no lone surrogates
    found: Tensor = tokenizer(
        whole,
        padding="max_length",
        max_length=tokenizer.model_max_length,
        truncation=True,
        return_tensors="pt",
    ).input_ids
    return found
