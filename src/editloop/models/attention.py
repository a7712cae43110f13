"""Attention control: a target is sampled together with its source and takes its attention.

Hertz et al., "Prompt-to-Prompt Image Editing with Cross Attention Control" (2022), algorithm 1, and
InstructPix2Pix's variant (Brooks et al., 2023, section 3.1.2), with self-attention alone. A batch
holds pairs, [source 1, target 1, source 2, target 2, ...]; under classifier-free guidance the
unconditional rows come first, in the same order.

Instead of a source's map, a target takes the queries and keys that the map is made of, so attention
stays fused. Self-attention becomes softmax(q_s k_s') v_t. Cross-attention, with the maps M of
the source and M* of the target and with the transfer T and the taken tokens a of a `PromptEdit`,

    (a (M T) + (1 - a) M*) v_t = softmax(q_s k_s') (T a v_t) + softmax(q_t k_t') ((1 - a) v_t).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from inspect import signature
from typing import Any, TypeAlias

import torch
from diffusers.models.attention_processor import AttnProcessor2_0
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from editloop.models.local_blend import LocalBlend
from editloop.models.prompts import PromptEdit

__all__ = [
    "Control",
    "PairControl",
    "controlled",
    "hertz_control",
    "instruct_pix2pix_control",
    "sample_pairs",
]

# (step, latents as the network takes them, timestep) to the network's guided output
_Predict: TypeAlias = Callable[[int, Tensor, Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Control:
    """The numbers of steps on which a target takes its source's attention.

    Those of cross-attention (the layout of words) and self-attention (the layout of shapes) both
    start with the first step.
    """

    cross: int
    itself: int


def hertz_control(steps: int, cross: float, itself: float) -> Control:
    """Return the controlled steps of n for two shares: int(cross (n + 1)) and int(itself n).

    That is how the released code rounds them.
    """
    return Control(min(steps, int(cross * (steps + 1))), int(itself * steps))


def instruct_pix2pix_control(steps: int, share: float) -> Control:
    """Return the controlled steps: i of n, counted from 0, is one while share > i / (n - 1).

    So the last of several steps is free even at share 1; a single step is controlled if share > 0.
    """
    last = max(steps - 1, 1)
    return Control(0, sum(share > step / last for step in range(steps)))


class PairControl:
    """The attention control of one sampling run; the sampler sets `step` before each step.

    controls: one for each pair; edits: each pair's edit of cross-attention, none where only
    self-attention is controlled; most: the most pixels of a map of self-attention that is
    controlled, None for all; unconditional: whether the unconditional rows are controlled too.
    """

    def __init__(
        self,
        controls: Sequence[Control],
        edits: Sequence[PromptEdit] = (),
        *,
        most: int | None = None,
        unconditional: bool = False,
        blend: LocalBlend | None = None,
    ) -> None:
        self.step = 0
        self.blend = blend
        self._controls = tuple(controls)
        self._most = most
        self._unconditional = unconditional
        self._acted: list[tuple[set[int], set[int]]] = [(set(), set()) for _ in controls]
        if edits:
            taken = torch.stack([edit.taken for edit in edits])
            self._moving = torch.stack([edit.transfer for edit in edits]) * taken[:, None]
            self._staying = 1 - taken[:, :, None]

    @property
    def acted(self) -> list[Control]:
        """The numbers of steps on which attention was really taken, for each pair."""
        return [Control(len(cross), len(itself)) for cross, itself in self._acted]

    def selves(self, rows: int, pixels: int) -> list[int]:
        """Return the rows of targets that take the source's self-attention now, and count it."""
        if self._most is not None and pixels > self._most:
            return []
        pairs = [at for at, each in enumerate(self._controls) if self.step < each.itself]
        for at in pairs:
            self._acted[at][1].add(self.step)
        return self._targets(rows, pairs)

    def crosses(self, rows: int) -> list[int]:
        """Return the rows of targets that take the source's cross-attention now, and count it."""
        pairs = [at for at, each in enumerate(self._controls) if self.step < each.cross]
        for at in pairs:
            self._acted[at][0].add(self.step)
        return self._targets(rows, pairs)

    def see(self, query: Tensor, key: Tensor, targets: Sequence[int]) -> None:
        """Let the blend see one layer's maps of cross-attention, as they are with control.

        query and key: [rows, heads, pixels or tokens, d].
        """
        assert self.blend is not None
        maps = (query @ key.mT * query.shape[-1] ** -0.5).softmax(dim=-1)
        if targets:
            own = torch.tensor(targets, device=maps.device)
            moving, staying = self.weights(targets, maps)
            changed = maps[own - 1] @ moving + maps[own] * staying.mT
            maps = maps.index_copy(0, own, changed)
        self.blend.see(maps[-self._count :])

    def weights(self, targets: Sequence[int], values: Tensor) -> tuple[Tensor, Tensor]:
        """Return T a, [targets, 1, tokens, tokens], and 1 - a, [targets, 1, tokens, 1]."""
        self._moving, self._staying = self._moving.to(values), self._staying.to(values)
        pairs = [(row % self._count) // 2 for row in targets]
        return self._moving[pairs][:, None], self._staying[pairs][:, None]

    def _targets(self, rows: int, pairs: Sequence[int]) -> list[int]:
        starts = range(0, rows, self._count) if self._unconditional else [rows - self._count]
        return [start + 2 * at + 1 for start in starts for at in pairs]

    @property
    def _count(self) -> int:
        return 2 * len(self._controls)


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
    predict: _Predict,
    scheduler: Any,
    latents: Tensor,
    *,
    control: PairControl,
    generators: Sequence[torch.Generator] = (),
    timesteps: Tensor | None = None,
) -> Tensor:
    """Sample sources and targets, from and to [2 pairs, c, h, w], by algorithm 1.

    `predict` calls a network that is under `control`. `generators`, one for each row, draw the
    noise that an ancestral scheduler adds: a pair shares it if its two rows have generators with
    one seed. `timesteps` are the scheduler's, or the last of them.
    """
    ancestral = "generator" in signature(scheduler.step).parameters and len(generators) > 0
    extra = {"generator": list(generators)} if ancestral else {}
    for step, timestep in enumerate(scheduler.timesteps if timesteps is None else timesteps):
        control.step = step
        output = predict(step, scheduler.scale_model_input(latents, timestep), timestep)
        latents = scheduler.step(output, timestep, latents, **extra).prev_sample
        if control.blend is not None:
            latents = control.blend.blended(latents, step)
    return latents


class _ControlledAttention:
    """diffusers' attention processor, fused, with the control's queries and keys."""

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
        assert attention_mask is None  # Stable Diffusion's texts are padded, not masked
        rows, pixels = hidden_states.shape[:2]
        if encoder_hidden_states is None:
            targets = self._control.selves(rows, pixels)
            mixed = _self_attention(attention, hidden_states, targets) if targets else None
        else:
            mixed = self._cross_attention(attention, hidden_states, encoder_hidden_states)
        if mixed is None:
            plain: Tensor = self._plain(attention, hidden_states, encoder_hidden_states, **others)
            return plain
        output: Tensor = attention.to_out[1](attention.to_out[0](mixed.transpose(1, 2).flatten(2)))
        return output

    def _cross_attention(self, attention: Any, states: Tensor, texts: Tensor) -> Tensor | None:
        """Return [rows, heads, pixels, d]; None if nothing is controlled or read."""
        control, (rows, pixels) = self._control, states.shape[:2]
        targets = control.crosses(rows)
        reads = control.blend is not None and control.blend.reads(pixels)
        if not targets and not reads:
            return None
        query, key, value = (
            _heads(attention, layer(seen))
            for layer, seen in (
                (attention.to_q, states),
                (attention.to_k, texts),
                (attention.to_v, texts),
            )
        )
        if reads:
            control.see(query, key, targets)
        if not targets:
            return scaled_dot_product_attention(query, key, value)
        own = torch.tensor(targets, device=value.device)
        moving, staying = control.weights(targets, value)
        moved = scaled_dot_product_attention(query[own - 1], key[own - 1], moving @ value[own])
        kept = value.index_copy(0, own, staying * value[own])
        return scaled_dot_product_attention(query, key, kept).index_add(0, own, moved)


def _self_attention(attention: Any, states: Tensor, targets: Sequence[int]) -> Tensor:
    """Return [rows, heads, pixels, d]; each target is given the map of the row before it.

    Rows with one map share its queries and keys, which are computed once.
    """
    sources = [row - 1 if row in targets else row for row in range(len(states))]
    used = sorted({*sources})
    places = torch.tensor([used.index(row) for row in sources], device=states.device)
    shared = states[used]
    query, key = (
        _heads(attention, layer(shared))[places] for layer in (attention.to_q, attention.to_k)
    )
    return scaled_dot_product_attention(query, key, _heads(attention, attention.to_v(states)))


def _heads(attention: Any, states: Tensor) -> Tensor:
    """Split [rows, tokens, heads x d] into [rows, heads, tokens, d]."""
    rows, tokens, _ = states.shape
    return states.view(rows, tokens, attention.heads, -1).transpose(1, 2)
