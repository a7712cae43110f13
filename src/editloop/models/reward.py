"""Multi-reward as a condition (Gu et al., "Multi-Reward as Condition", 2025).

Scores and texts become tokens, the reward condition c_R. It can enter a UNet in three ways:

    time       through the time embedding, as the authors' released code does
    attention  the first convolution's output attends to c_R ("reward encoder", section 4.2)
    addition   a linear map of c_R is added after each block (section 4.2)

There are three variants of the design:

    editloop   any of these ways, `time` by default. Scores are four octaves of waves and a flag for
               each. Each way ends in a layer that starts at zero, so a pretrained UNet's output is
               unchanged at the start.
    paper      sections 4.2, 4.3 and 6.1: attention and addition, scores in the absolute positional
               encoding, everything initialised at random.
    released   the authors' code, in `released_reward`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal, TypeAlias

import torch
from diffusers.models.attention import FeedForward
from diffusers.models.attention_processor import Attention
from diffusers.models.embeddings import TimestepEmbedding, Timesteps
from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator
from torch import Tensor, nn

from editloop.models.released_reward import ReleasedRewardCondition
from editloop.models.wrapper import Injection, UNetShape
from editloop.schema import PERSPECTIVES, Json
from editloop.settings import Settings

__all__ = [
    "AbsoluteScoreEmbedding",
    "MultiRewardCondition",
    "RewardSettings",
    "ScoreEmbedding",
    "reward_condition",
    "saved_rewards",
    "score_waves",
    "separator_of",
]

_OCTAVES = 4
_BEST = 5.0
_HIDDEN = 128
_WAVES = 256  # sines and cosines of one score in `paper`; the paper gives no number
_INJECTION: dict[str, tuple[str, ...]] = {"paper": ("attention", "addition"), "released": ()}
_Start: TypeAlias = Callable[[nn.Linear], nn.Linear]


class RewardSettings(Settings):
    """A variant of the design, the parts of rewards that it reads, and where they enter.

    `paper` and `released` fix `injection`, and `released` everything else too. `blocks` is the
    reward encoder's depth N.
    """

    variant: Literal["editloop", "paper", "released"] = "editloop"
    injection: tuple[Literal["time", "attention", "addition"], ...] = ("time",)
    score: bool = True
    text: bool = True
    blocks: int = Field(default=1, ge=1)

    @model_validator(mode="before")
    @classmethod
    def _variant_names_the_injection(cls, content: Any) -> Any:
        if not isinstance(content, Mapping):
            return content
        named = _INJECTION.get(str(content.get("variant")))
        return content if named is None else {"injection": named, **content}

    @model_validator(mode="after")
    def _has_way_and_content(self) -> RewardSettings:
        if self.injection != _INJECTION.get(self.variant, self.injection):
            raise ValueError(f"variant {self.variant} fixes injection: set only one of the two")
        if self.variant == "released":
            if not (self.score and self.text and self.blocks == 1):
                raise ValueError("variant released fixes score, text and blocks: leave them out")
            return self
        if not self.injection or len(set(self.injection)) < len(self.injection):
            raise ValueError("injection must list some of time, attention, addition, each once")
        if not (self.score or self.text):
            raise ValueError("a reward needs score or text: set one, or leave out the condition")
        return self

    @model_serializer(mode="wrap")
    def _as_saved(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Omit the name `editloop`, and the injection of `paper`; see `saved_rewards`."""
        omitted = {"editloop": "variant", "paper": "injection"}.get(self.variant)
        content: dict[str, Any] = write(self)
        return {key: each for key, each in content.items() if key != omitted}


def saved_rewards(content: Mapping[str, Json] | None) -> RewardSettings | None:
    """Return the reward settings in a saved model's index.

    `editloop` is saved without a name, as it was before it had one. Where `paper` is saved with an
    injection, the model is of a version in which that name stood for `editloop` with it.
    """
    if content is None:
        return None
    is_ours = content.get("variant") == "paper" and "injection" in content
    kept = {key: each for key, each in content.items() if not (is_ours and key == "variant")}
    return RewardSettings.model_validate(kept)


def separator_of(settings: RewardSettings | None) -> str:
    """Return the separator that joins the perspectives' reward texts for a reward condition.

    The authors' released code uses "; "; the other variants ";", which CLIP reads as the same
    tokens.
    """
    return "; " if settings is not None and settings.variant == "released" else ";"


def reward_condition(settings: RewardSettings, shape: UNetShape) -> nn.Module:
    """Build the reward condition that the settings describe, for a UNet of a shape.

    All variants take the same keywords: `scores` and `keep` [batch, 3], `text` [batch, tokens, d]
    and `pooled` [batch, d]. Each uses what it needs and raises ValueError for what is missing; its
    `droppable` is whether rewards may be left out (`keep` 0).
    """
    if settings.variant == "released":
        return ReleasedRewardCondition(shape)
    return MultiRewardCondition(settings, shape)


def score_waves(scores: Tensor) -> Tensor:
    """Return sines and cosines of scores in four octaves, the encoding of `editloop`.

    scores [batch, n] in 0..5 -> [batch, n, 8]. The slowest wave makes a quarter turn from 0 to 5,
    so it distinguishes all scores; the fastest makes two turns.
    """
    octaves = 2.0 ** torch.arange(_OCTAVES, device=scores.device, dtype=scores.dtype)
    angles = scores[..., None] / _BEST * (math.pi / 2) * octaves
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


class ScoreEmbedding(nn.Module):
    """The score embedding of `editloop`; a score with `keep` 0 has no effect."""

    def __init__(self, width: int) -> None:
        super().__init__()
        inputs = len(PERSPECTIVES) * (2 * _OCTAVES + 1)  # the waves, and `keep`
        self.layers = nn.Sequential(
            nn.Linear(inputs, _HIDDEN), nn.SiLU(), nn.Linear(_HIDDEN, width)
        )

    def forward(self, scores: Tensor, keep: Tensor) -> Tensor:
        """Embed scores [batch, 3] in 0..5 with keep [batch, 3] of 0 or 1 as [batch, width]."""
        waves = score_waves(scores) * keep[..., None]
        inputs = torch.cat([waves.flatten(1), keep], dim=1).to(next(self.parameters()).dtype)
        embedded: Tensor = self.layers(inputs)
        return embedded


class AbsoluteScoreEmbedding(nn.Module):
    """E_s = MLP(Concat[PE(S_f), PE(S_p), PE(S_q)]) (section 4.3), the score embedding of `paper`.

    PE is the absolute positional encoding of Vaswani et al. (2017, section 3.5) at the position s,
    the score itself, with all sines before all cosines: sin(s / 10000^(i / 128)) for i = 0..127.
    A score with `keep` 0, which the paper doesn't have, is encoded as zeros; no score is.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.waves = Timesteps(_WAVES, flip_sin_to_cos=False, downscale_freq_shift=0)
        self.layers = TimestepEmbedding(len(PERSPECTIVES) * _WAVES, width)

    def forward(self, scores: Tensor, keep: Tensor) -> Tensor:
        """Embed scores [batch, 3] in 0..5 with keep [batch, 3] of 0 or 1 as [batch, width]."""
        waves = self.waves(scores.flatten()).reshape(*scores.shape, _WAVES) * keep[..., None]
        embedded: Tensor = self.layers(waves.flatten(1).to(next(self.parameters()).dtype))
        return embedded


class _CrossAttentionBlock(nn.Module):
    """A block of the reward encoder: attention to c_R and a feed-forward layer, both residual.

    `start` initialises the last layer of both.
    """

    def __init__(self, width: int, condition: int, start: _Start) -> None:
        super().__init__()
        heads = math.gcd(4, width)
        self.before_attention = nn.LayerNorm(width)
        self.attention = Attention(
            width, cross_attention_dim=condition, heads=heads, dim_head=width // heads
        )
        self.before_forward = nn.LayerNorm(width)
        self.forward_layers = FeedForward(width, mult=2)
        start(self.attention.to_out[0])
        start(self.forward_layers.net[-1])

    def forward(self, features: Tensor, condition: Tensor) -> Tensor:
        """Attend with features [batch, h * w, width] to the condition [batch, tokens, d]."""
        attended: Tensor = self.attention(
            self.before_attention(features), encoder_hidden_states=condition
        )
        features = features + attended
        forwarded: Tensor = self.forward_layers(self.before_forward(features))
        return features + forwarded


class MultiRewardCondition(nn.Module):
    """The reward condition c_R, and the ways it enters a UNet of the given shape.

    `scores` [batch, 3] in 0..5 in the order of PERSPECTIVES, `keep` [batch, 3] of 0 or 1 (0:
    missing or dropped), `text` [batch, tokens, shape.text] the encoded reward text. Inputs that the
    settings switch off are ignored and may be left out; `pooled` is ignored too.
    """

    droppable = True

    def __init__(self, settings: RewardSettings, shape: UNetShape) -> None:
        super().__init__()
        self.settings = settings
        ways, is_papers = settings.injection, settings.variant == "paper"
        start: _Start = _random if is_papers else _zeroed
        width = shape.text
        embedding = AbsoluteScoreEmbedding if is_papers else ScoreEmbedding
        self.score = embedding(width) if settings.score else None
        self.types = nn.Parameter(torch.randn(2, width) * 0.02)  # one for text, one for score
        pooled = width * (settings.score + settings.text)
        self.time = start(nn.Linear(pooled, shape.time)) if "time" in ways else None
        self.additions = nn.ModuleList(
            start(nn.Linear(pooled, block)) for block in shape.blocks if "addition" in ways
        )
        self.encoder = nn.ModuleList()
        if "attention" in ways:
            self.key_value = nn.Linear(width, width)
            self.encoder.extend(
                _CrossAttentionBlock(shape.features, width, start) for _ in range(settings.blocks)
            )

    def forward(
        self,
        scores: Tensor | None = None,
        keep: Tensor | None = None,
        text: Tensor | None = None,
        pooled: Tensor | None = None,  # noqa: ARG002
    ) -> Injection:
        parts = self._tokens(scores, keep, text)
        condition = torch.cat(parts, dim=1)
        means = torch.cat([part.mean(1) for part in parts], dim=1)
        return Injection(
            time=None if self.time is None else self.time(means),
            features=partial(self._encode, condition=condition) if self.encoder else None,
            blocks=tuple(layer(means) for layer in self.additions),
        )

    def _tokens(
        self, scores: Tensor | None, keep: Tensor | None, text: Tensor | None
    ) -> list[Tensor]:
        """Return the parts of c_R with type embeddings: text [b, n, d] and scores [b, 1, d]."""
        parts = []
        if self.settings.text:
            if text is None:
                raise ValueError("this reward condition reads the reward text: pass `text`")
            parts.append(text + self.types[0])
        if self.score is not None:
            if scores is None or keep is None:
                raise ValueError("this reward condition reads scores: pass `scores` and `keep`")
            parts.append(self.score(scores, keep)[:, None] + self.types[1])
        return parts

    def _encode(self, features: Tensor, condition: Tensor) -> Tensor:
        """Return Z'' = CA(Z', Linear(c_R)) (section 4.2) for features [batch, c, h, w]."""
        condition = self.key_value(condition)
        places = features.flatten(2).transpose(1, 2)
        for block in self.encoder:
            places = block(places, condition)
        return places.transpose(1, 2).reshape(features.shape)


def _zeroed(layer: nn.Linear) -> nn.Linear:
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def _random(layer: nn.Linear) -> nn.Linear:
    """Return a layer with torch's random initial weights, as it was made."""
    return layer
