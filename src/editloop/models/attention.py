"""Prompt-to-prompt: sample a target together with its source, reusing the source's attention.

Hertz et al., "Prompt-to-Prompt Image Editing with Cross Attention Control" (2022), algorithm 1. A
batch holds pairs, [source 1, target 1, source 2, target 2, ...]; under classifier-free guidance the
unconditional rows come first, and only the conditional ones are controlled. Only attention calls
whose maps are read or changed run without fused attention.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from diffusers.models.attention_processor import AttnProcessor2_0
from torch import Tensor
from torch.nn import functional

from editloop.models.inversion import Predict
from editloop.models.prompts import PromptEdit

__all__ = ["Blend", "Control", "PairControl", "blend_mask", "controlled", "sample_pairs"]

_COARSE = 4  # maps are read and self-attention replaced at this fraction of the latents' sides


@dataclass(frozen=True, slots=True)
class Control:
    """The share of the steps, from the first one on, that use the source's attention.

    `cross` and `itself` are in 0..1: for cross-attention (the layout of words) and self-attention
    (the layout of shapes; only maps at a quarter of the latents' sides and coarser, 16 x 16 for
    512 px, as in the released code).
    """

    steps: int
    cross: float
    itself: float

    def crosses(self, step: int) -> bool:
        """Return whether cross-attention is controlled at a step, counted from 0."""
        return step < int(self.cross * self.steps)

    def selves(self, step: int) -> bool:
        """Return whether self-attention is controlled at a step, counted from 0."""
        return step < int(self.itself * self.steps)


@dataclass(frozen=True, slots=True, eq=False)
class Blend:
    """Local editing: outside the region that changed words attend to, latents are the source's.

    words: [2 pairs, tokens] of 0 or 1, the changed words of each row's prompt; a pair without any
    is not blended. threshold: the minimum attention in the region, where the maximum is 1. start:
    the share of the steps after which blending begins.
    """

    words: Tensor
    threshold: float = 0.3
    start: float = 0.2

    def begun(self, step: int, steps: int) -> bool:
        """Return whether latents are blended after a step, counted from 0."""
        return step >= int(self.start * steps)


class PairControl:
    """The attention control of one sampling run; the sampler sets `step` before each step.

    edits: one for each pair; size: height and width of the latents.
    """

    def __init__(
        self,
        edits: Sequence[PromptEdit],
        control: Control,
        size: tuple[int, int],
        blend: Blend | None = None,
    ) -> None:
        self.step = 0
        self._count = 2 * len(edits)
        # With dimensions for heads and pixels, all pairs' maps are edited at once.
        self._edit = PromptEdit(
            torch.stack([edit.transfer for edit in edits])[:, None],
            torch.stack([edit.taken for edit in edits])[:, None, None],
        )
        self._control = control
        self._size = size
        self._blend = blend
        self._coarse = (-(-size[0] // _COARSE), -(-size[1] // _COARSE))
        self._seen: Tensor | None = None  # [2 pairs, coarse pixels, tokens], summed over all maps

    def concerns(self, *, pixels: int, cross: bool) -> bool:
        """Return whether maps with this many pixels are read or changed at this step."""
        coarse = self._coarse[0] * self._coarse[1]
        if cross:
            return self._control.crosses(self.step) or self._reads(pixels)
        return pixels <= coarse and self._control.selves(self.step)

    def put_in(self, maps: Tensor, *, cross: bool) -> Tensor:
        """Return the maps to use, [rows, heads, pixels, tokens]; the last rows are the pairs."""
        others, pairs = maps[: -self._count], maps[-self._count :]
        sources, targets = pairs[0::2], pairs[1::2]
        if not cross:
            targets = sources
        elif self._control.crosses(self.step):
            targets = self._edit.to(maps).apply(sources, targets)
        used = _pairs(sources, targets)
        if cross and self._reads(maps.shape[2]):
            seen = used.float().mean(dim=1)
            self._seen = seen if self._seen is None else self._seen + seen
        return torch.cat([others, used])

    def blended(self, latents: Tensor) -> Tensor:
        """Return latents [2 pairs, c, h, w] with the source outside each target's blend region."""
        blend = self._blend
        if blend is None or self._seen is None or not blend.begun(self.step, self._control.steps):
            return latents
        mask = blend_mask(self._seen, blend.words, self._coarse, self._size, blend.threshold)
        anywhere = (blend.words[0::2] + blend.words[1::2]).any(dim=1).to(mask.device)
        mask = mask | ~anywhere[:, None, None, None]
        sources, targets = latents[0::2], latents[1::2]
        return _pairs(sources, torch.where(mask, targets, sources))

    def _reads(self, pixels: int) -> bool:
        return self._blend is not None and pixels == self._coarse[0] * self._coarse[1]


def blend_mask(
    maps: Tensor, words: Tensor, coarse: tuple[int, int], size: tuple[int, int], threshold: float
) -> Tensor:
    """Return the region that a pair's changed words attend to, [pairs, 1, h, w].

    It is the union of the masks B(M, w) of the source and B(M*, w*) of the target in section 3.2's
    local editing. maps: [2 pairs, coarse pixels, tokens]; words: [2 pairs, tokens]; `size` is h, w.
    """
    attended = (maps * words.to(maps)[:, None]).sum(dim=-1).reshape(len(maps), 1, *coarse)
    attended = functional.max_pool2d(attended, kernel_size=3, stride=1, padding=1)
    attended = functional.interpolate(attended, size=size)
    most = attended.amax(dim=(1, 2, 3), keepdim=True)
    found = (attended > threshold * most) & (most > 0)
    return found[0::2] | found[1::2]


@contextmanager
def controlled(unet: Any, control: PairControl) -> Iterator[None]:
    """Control the UNet's attention within the block, and restore it afterwards."""
    before = unet.attn_processors
    unet.set_attn_processor(_ControlledAttention(control))
    try:
        yield
    finally:
        unet.set_attn_processor(before)


def sample_pairs(
    predict: Predict,
    scheduler: Any,
    noise: Tensor,
    prompts: Tensor,
    empty: Sequence[Tensor],
    *,
    guidance: float,
    control: PairControl,
) -> Tensor:
    """Sample sources and targets [2 pairs, c, h, w] by algorithm 1.

    noise: [pairs, c, h, w], shared by a pair; prompts: [2 pairs, tokens, d]; empty: the empty
    text's embedding at each step, [1 or 2 pairs, tokens, d]. `scheduler` is deterministic (DDIM),
    with its timesteps set; `predict` calls a network that is under `control`.
    """
    latents = noise.repeat_interleave(2, dim=0)
    for step, timestep in enumerate(scheduler.timesteps):
        control.step = step
        texts = torch.cat([empty[step].expand_as(prompts), prompts])
        outputs = predict(torch.cat([latents, latents]), timestep, texts)
        unconditional, conditional = outputs.chunk(2)
        output = unconditional + guidance * (conditional - unconditional)
        latents = control.blended(scheduler.step(output, timestep, latents).prev_sample)
    return latents


def _pairs(sources: Tensor, targets: Tensor) -> Tensor:
    return torch.stack([sources, targets], dim=1).flatten(0, 1)


class _ControlledAttention:
    """diffusers' attention processor, with attention maps that the control can change."""

    def __init__(self, control: PairControl) -> None:
        self._control = control
        self._plain = AttnProcessor2_0()

    def __call__(
        self,
        attention: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        **others: Any,
    ) -> Tensor:
        cross = encoder_hidden_states is not None
        pixels = hidden_states.shape[1]
        if not self._control.concerns(pixels=pixels, cross=cross):
            plain: Tensor = self._plain(
                attention, hidden_states, encoder_hidden_states, attention_mask, **others
            )
            return plain
        seen = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query, key, value = (
            attention.head_to_batch_dim(layer(states))
            for layer, states in (
                (attention.to_q, hidden_states),
                (attention.to_k, seen),
                (attention.to_v, seen),
            )
        )
        mask = attention.prepare_attention_mask(attention_mask, seen.shape[1], len(seen))
        maps = attention.get_attention_scores(query, key, mask)
        maps = maps.unflatten(0, (-1, attention.heads))
        maps = self._control.put_in(maps, cross=cross).flatten(0, 1)
        mixed = attention.batch_to_head_dim(maps.to(value.dtype) @ value)
        output: Tensor = attention.to_out[1](attention.to_out[0](mixed))
        return output
