"""The multi-reward condition as its authors released it (Gu et al., 2411.04713; their code, 2024).

It differs from sections 4.2 and 4.3 of their paper, which `MultiRewardCondition` follows:

    scores  their raw values 0..5 are embedded like timesteps; one MLP adds them to the time
            embedding, another maps them to a token
    text    one vector, the pooled output of Stable Diffusion's text encoder for the three texts
            joined by "; " ("None; None; None" when editing); one linear map adds it to the time
            embedding, another maps it to a token
    image   the first convolution's output attends to these two tokens in one post-norm block like
            BERT's, between two 1 x 1 convolutions, with a residual connection around all of it

Nothing is added after the blocks, and there is no type embedding. No layer is initialised to zero:
the authors train from torch's initial weights, so a pretrained UNet's output changes at the start.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import partial

import torch
from diffusers.models.embeddings import TimestepEmbedding, Timesteps
from torch import Tensor, nn
from torch.nn import functional

from editloop.errors import StoreError
from editloop.models.wrapper import Injection, UNetShape
from editloop.schema import PERSPECTIVES

__all__ = ["ReleasedRewardCondition", "split_released"]

_WAVES = 256  # sines and cosines of one score
_HEADS = 8
_GROUPS = 32
_DROPOUT = 0.1


class _PostNormBlock(nn.Module):
    """Attention to tokens and a feed-forward layer, each normalised after its residual."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(
            width, math.gcd(_HEADS, width), dropout=_DROPOUT, batch_first=True
        )
        self.attention_norm = nn.LayerNorm(width, eps=1e-12)
        self.feed_in = nn.Linear(width, width)
        self.feed_out = nn.Linear(width, width)
        self.feed_norm = nn.LayerNorm(width, eps=1e-12)
        self.dropout = nn.Dropout(_DROPOUT)

    def forward(self, places: Tensor, tokens: Tensor) -> Tensor:
        """Attend with queries [batch, places, width] to keys and values [batch, tokens, width]."""
        attended, _ = self.attention(places, tokens, tokens, need_weights=False)
        places = self.attention_norm(places + self.dropout(attended))
        fed = self.feed_out(functional.gelu(self.feed_in(places)))
        normed: Tensor = self.feed_norm(places + self.dropout(fed))
        return normed


class ReleasedRewardCondition(nn.Module):
    """The released design for a UNet of the given shape.

    `scores` [batch, 3] in 0..5 in the order of PERSPECTIVES; `pooled` [batch, shape.pooled], the
    pooled reward text. It cannot handle missing scores (`droppable` is false): `keep` must be all
    ones. A 0 raises ValueError on a CPU; on an accelerator this check would stall every step, so
    the caller must check `droppable`.
    """

    droppable = False

    def __init__(self, shape: UNetShape) -> None:
        super().__init__()
        width, scores = shape.features, len(PERSPECTIVES) * _WAVES
        # Sines and cosines in the order of Stable Diffusion's own time embedding.
        self.waves = Timesteps(_WAVES, flip_sin_to_cos=True, downscale_freq_shift=0)
        self.score_to_time = TimestepEmbedding(scores, shape.time)
        self.score_to_token = TimestepEmbedding(scores, width)
        self.text_to_time = nn.Linear(shape.pooled, shape.time)
        self.text_to_token = nn.Linear(shape.pooled, width)
        self.norm = nn.GroupNorm(math.gcd(_GROUPS, width), width, eps=1e-6)
        self.enter = nn.Conv2d(width, width, kernel_size=1)
        self.block = _PostNormBlock(width)
        self.leave = nn.Conv2d(width, width, kernel_size=1)

    def forward(
        self,
        scores: Tensor | None = None,
        keep: Tensor | None = None,
        text: Tensor | None = None,  # noqa: ARG002
        pooled: Tensor | None = None,
    ) -> Injection:
        """Inject scores and pooled text; `text` (the token states) is accepted but not used."""
        if scores is None:
            raise ValueError("the released reward condition reads scores: pass `scores`")
        if pooled is None:
            raise ValueError("the released reward condition reads the pooled text: pass `pooled`")
        if keep is not None and keep.device.type == "cpu" and not keep.all():
            raise ValueError(
                f"the released reward condition needs every score, but `keep` is {keep.tolist()}: "
                "score the samples, drop no rewards, or use another variant"
            )
        waves = self.waves(scores.flatten()).reshape(len(scores), -1)
        waves = waves.to(self.text_to_time.weight.dtype)
        tokens = torch.stack([self.score_to_token(waves), self.text_to_token(pooled)], dim=1)
        return Injection(
            time=self.score_to_time(waves) + self.text_to_time(pooled),
            features=partial(self._attend, tokens=tokens),
        )

    def _attend(self, features: Tensor, tokens: Tensor) -> Tensor:
        """Return features [batch, c, h, w] after attention to tokens [batch, 2, c]."""
        entered = self.enter(self.norm(features))
        places = self.block(entered.flatten(2).transpose(1, 2), tokens)
        left: Tensor = self.leave(places.transpose(1, 2).reshape(features.shape))
        return left + features


# The released names of layers, each with a weight and a bias -> ours.
_LAYERS = {
    "add_embedding.linear_1": "score_to_time.linear_1",
    "add_embedding.linear_2": "score_to_time.linear_2",
    "add_embedding2.linear_1": "score_to_token.linear_1",
    "add_embedding2.linear_2": "score_to_token.linear_2",
    "text_linear2": "text_to_time",
    "text_linear": "text_to_token",
    "proj_deal.norm": "norm",
    "proj_deal.proj_in": "enter",
    "ca.attention.output.dense": "block.attention.out_proj",
    "ca.attention.output.LayerNorm": "block.attention_norm",
    "ca.hidden_intermediate.dense": "block.feed_in",
    "ca.output.dense": "block.feed_out",
    "ca.output.LayerNorm": "block.feed_norm",
    "proj_deal.proj_out": "leave",
}
_QUERY_KEY_VALUE = tuple(f"ca.attention.self.{name}" for name in ("query", "key", "value"))
_KINDS = ("weight", "bias")
_UNET = (
    "conv_in",
    "time_embedding",
    "down_blocks",
    "mid_block",
    "up_blocks",
    "conv_norm_out",
    "conv_out",
)


def split_released(weights: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Split the released UNet's weights into a plain UNet's and a `ReleasedRewardCondition`'s.

    Raises StoreError with the unknown or missing keys. Missing keys within the plain UNet are only
    found by its own `load_state_dict`.
    """
    wanted = {f"{layer}.{kind}" for layer in (*_LAYERS, *_QUERY_KEY_VALUE) for kind in _KINDS}
    unet = {key: value for key, value in weights.items() if key.partition(".")[0] in _UNET}
    lacking = [root for root in _UNET if not any(key.startswith(f"{root}.") for key in unet)]
    _check_none("unknown", weights.keys() - unet.keys() - wanted)
    _check_none("missing", [*lacking, *sorted(wanted - weights.keys())])
    condition = {}
    for kind in _KINDS:
        for released, ours in _LAYERS.items():
            condition[f"{ours}.{kind}"] = weights[f"{released}.{kind}"]
        condition[f"block.attention.in_proj_{kind}"] = torch.cat(
            [weights[f"{layer}.{kind}"] for layer in _QUERY_KEY_VALUE]
        )
    return unet, condition


def _check_none(what: str, keys: Iterable[str]) -> None:
    if found := sorted(keys):
        raise StoreError(
            f"not the released multi-reward UNet: {what} weights",
            value=", ".join(found),
            fix="use the UNet of the authors' second stage, stage2_reward_instruct_pix2pix",
        )
