"""Prompt-to-prompt pair by pair with attention maps in memory, as InstructPix2Pix released it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from diffusers.utils.torch_utils import randn_tensor

from editloop.models.pairs import Pair
from editloop.schema import Pixels

__all__ = ["made_one_by_one"]


class _MapAttention:
    """Attention whose maps are computed, and whose targets take the source's self-attention."""

    def __init__(self) -> None:
        self.controls = False

    def __call__(
        self, attention: Any, hidden_states: Any, encoder_hidden_states: Any = None, **_: Any
    ) -> Any:
        itself = encoder_hidden_states is None
        seen = hidden_states if itself else encoder_hidden_states
        query, key, value = (
            attention.head_to_batch_dim(layer(states))
            for layer, states in (
                (attention.to_q, hidden_states),
                (attention.to_k, seen),
                (attention.to_v, seen),
            )
        )
        maps = attention.get_attention_scores(query, key)
        if itself and self.controls:
            rows = maps.unflatten(0, (-1, attention.heads))
            maps = rows[0::2].repeat_interleave(2, dim=0).flatten(0, 1)
        mixed = attention.batch_to_head_dim(torch.bmm(maps, value))
        return attention.to_out[1](attention.to_out[0](mixed))


@torch.no_grad()
def _made(pipeline: Any, pair: Pair, steps: int, side: int) -> list[Pixels]:
    """Return source and target of one pair; `pipeline` has an Euler ancestral scheduler."""
    scheduler, attention = pipeline.scheduler, _MapAttention()
    pipeline.unet.set_attn_processor(attention)
    texts, empty = pipeline.encode_prompt([pair.source, pair.target], pipeline.device, 1, True)[:2]
    scheduler.set_timesteps(steps, device=pipeline.device)
    randoms = [torch.Generator().manual_seed(pair.seed) for _ in range(2)]
    latent = side // pipeline.vae_scale_factor
    shape = (2, pipeline.unet.config.in_channels, latent, latent)
    latents = randn_tensor(shape, randoms, pipeline.device, torch.float32)
    latents = latents * scheduler.init_noise_sigma
    for step, timestep in enumerate(scheduler.timesteps):
        attention.controls = pair.share > step / max(steps - 1, 1)
        noisy = scheduler.scale_model_input(torch.cat([latents, latents]), timestep)
        states = torch.cat([empty, texts])
        none, told = pipeline.unet(noisy, timestep, encoder_hidden_states=states).sample.chunk(2)
        guided = none + pair.guidance * (told - none)
        latents = scheduler.step(guided, timestep, latents, generator=randoms).prev_sample
    return [_decoded(pipeline, row) for row in latents]


def _decoded(pipeline: Any, latents: Any) -> Pixels:
    values = pipeline.vae.decode(latents[None] / pipeline.vae.config.scaling_factor).sample
    values = (values[0] / 2 + 0.5).clamp(0, 1) * 255
    return np.asarray(values.round().permute(1, 2, 0).cpu()).astype(np.uint8)


def made_one_by_one(pipeline: Any, pairs: Sequence[Pair], steps: int, side: int) -> list[Pixels]:
    """Return the pictures of all pairs."""
    return [picture for pair in pairs for picture in _made(pipeline, pair, steps, side)]
