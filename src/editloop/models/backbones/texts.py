"""Text encoding of each family: ids by its tokenizers, states by its frozen encoders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional

__all__ = [
    "ClipPairTexts",
    "ClipT5Texts",
    "ClipTexts",
    "T5Reader",
    "TextStates",
    "Texts",
    "TripleTexts",
    "clip_ids",
]


_ENDS = 2  # tokens that tokenizers add: the start and end, or a leading space and the end


@dataclass(frozen=True, slots=True)
class TextStates:
    """A batch of encoded texts: hidden [batch, tokens, d] and pooled [batch, p]."""

    hidden: Tensor
    pooled: Tensor


class Texts(Protocol):
    """A family's tokenizers and encoders; a text that is too long is truncated."""

    def ids(self, texts: Sequence[str]) -> Tensor:
        """Return int64 [texts, n]: the ids of all tokenizers, concatenated."""
        ...

    def states(self, ids: Tensor) -> TextStates:
        """Encode ids [batch, n], without gradients."""
        ...

    def kept(self, text: str) -> int:
        """Return how many of the text's characters the encoders read, the one that reads most."""
        ...


@dataclass(frozen=True, slots=True)
class ClipTexts:
    """Stable Diffusion 1.x and 2.x: one CLIP text encoder, its last layer."""

    tokenizer: Any
    encoder: Any

    def ids(self, texts: Sequence[str]) -> Tensor:
        return clip_ids(self.tokenizer, texts)

    def kept(self, text: str) -> int:
        return _kept(self.tokenizer, text, self.tokenizer.model_max_length)

    @torch.no_grad()
    def states(self, ids: Tensor) -> TextStates:
        found = self.encoder(ids.to(self.encoder.device))
        return TextStates(found.last_hidden_state, found.pooler_output)


@dataclass(frozen=True, slots=True)
class ClipPairTexts:
    """Stable Diffusion XL: two CLIP encoders, whose second to last layers are concatenated.

    `blank_is_zero`: the empty text is zeros, as in the pipeline without a negative prompt.
    """

    tokenizers: tuple[Any, Any]
    encoders: tuple[Any, Any]
    blank_is_zero: bool

    def ids(self, texts: Sequence[str]) -> Tensor:
        return torch.cat([clip_ids(each, texts) for each in self.tokenizers], dim=1)

    def kept(self, text: str) -> int:
        return max(_kept(each, text, each.model_max_length) for each in self.tokenizers)

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


@dataclass(frozen=True, slots=True)
class T5Reader:
    """A T5 encoder of `length` tokens, including padding, as in diffusers' pipelines."""

    tokenizer: Any
    encoder: Any
    length: int

    def ids(self, texts: Sequence[str]) -> Tensor:
        """Return ids, int64 [texts, length]."""
        return _padded(self.tokenizer, texts, self.length)

    def kept(self, text: str) -> int:
        """Return how many of the text's characters `length` tokens hold."""
        return _kept(self.tokenizer, text, self.length)

    def hidden(self, ids: Tensor) -> Tensor:
        """Return the last layer's states [batch, length, d]."""
        found: Tensor = self.encoder(ids).last_hidden_state
        return found.to(self.encoder.dtype)


@dataclass(frozen=True, slots=True)
class TripleTexts:
    """Stable Diffusion 3: two CLIP encoders, concatenated by channels, followed by T5's tokens.

    The CLIP states, of the second to last layer, are padded with zeros to T5's `width`. A base
    without T5 gets zeros [`length`, width] instead.
    """

    tokenizers: tuple[Any, Any]
    encoders: tuple[Any, Any]
    t5: T5Reader | None
    width: int
    length: int

    def ids(self, texts: Sequence[str]) -> Tensor:
        parts = [clip_ids(each, texts) for each in self.tokenizers]
        return torch.cat(parts if self.t5 is None else [*parts, self.t5.ids(texts)], dim=1)

    def kept(self, text: str) -> int:
        clips = max(_kept(each, text, each.model_max_length) for each in self.tokenizers)
        return clips if self.t5 is None else max(clips, self.t5.kept(text))

    @torch.no_grad()
    def states(self, ids: Tensor) -> TextStates:
        first, second = (each.model_max_length for each in self.tokenizers)
        *parts, last = ids.to(self.encoders[0].device).tensor_split([first, first + second], dim=1)
        found = [
            encoder(part, output_hidden_states=True)
            for encoder, part in zip(self.encoders, parts, strict=True)
        ]
        clip = torch.cat([each.hidden_states[-2] for each in found], dim=-1)
        if self.t5 is None:
            long = clip.new_zeros(len(clip), self.length, self.width)
        else:
            long = self.t5.hidden(last).to(clip.dtype)
        clip = functional.pad(clip, (0, self.width - clip.shape[-1]))
        pooled = torch.cat([each.text_embeds for each in found], dim=-1)
        return TextStates(torch.cat([clip, long], dim=1), pooled)


@dataclass(frozen=True, slots=True)
class ClipT5Texts:
    """FLUX: T5's states, and CLIP's pooled output."""

    tokenizer: Any
    encoder: Any
    t5: T5Reader

    def ids(self, texts: Sequence[str]) -> Tensor:
        return torch.cat([clip_ids(self.tokenizer, texts), self.t5.ids(texts)], dim=1)

    def kept(self, text: str) -> int:
        return self.t5.kept(text)

    @torch.no_grad()
    def states(self, ids: Tensor) -> TextStates:
        places = [self.tokenizer.model_max_length]
        short, long = ids.to(self.encoder.device).tensor_split(places, dim=1)
        return TextStates(self.t5.hidden(long), self.encoder(short).pooler_output)


def clip_ids(tokenizer: Any, texts: Sequence[str]) -> Tensor:
    """Return CLIP's ids [texts, n], padded or truncated to its n tokens."""
    return _padded(tokenizer, texts, tokenizer.model_max_length)


def _kept(tokenizer: Any, text: str, length: int) -> int:
    """Return how many of a text's characters lie in its first `length` tokens."""
    whole = _whole(text)
    if len(whole.encode()) + _ENDS <= length:  # a token has a byte or more
        return len(text)
    if len(tokenizer(whole, verbose=False).input_ids) <= length:
        return len(text)
    found = tokenizer(whole, truncation=True, max_length=length, return_offsets_mapping=True)
    ends: list[int] = [end for _, end in found["offset_mapping"]]
    return max(ends)


def _whole(text: str) -> str:
    """Replace lone surrogates, which tokenizers reject."""
    return text.encode("utf-8", "replace").decode()


def _padded(tokenizer: Any, texts: Sequence[str], length: int) -> Tensor:
    found: Tensor = tokenizer(
        [_whole(text) for text in texts],
        padding="max_length",
        max_length=length,
        truncation=True,
        return_tensors="pt",
    ).input_ids
    return found
