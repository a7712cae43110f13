"""Reward inputs of a model with a reward condition: the scores that an edit should get."""

from __future__ import annotations

import torch
from torch import Tensor

from editloop.models.backbones.model import DiffusionModel
from editloop.models.reward import separator_of
from editloop.schema import CLEAN_TEXT, PERSPECTIVES

__all__ = ["rewards_for"]

_BEST = (5.0, 5.0, 5.0)


def rewards_for(
    model: DiffusionModel,
    count: int,
    reward: tuple[float, ...] | str | None = None,
    text: str | None = None,
) -> dict[str, Tensor]:
    """Return the reward inputs of `count` edits; by default the best scores and clean texts.

    `reward` is three scores, or "none" for no rewards. Empty for a model without the condition. The
    released variant joins its texts by "; ".
    """
    if model.reward is None:
        return {}
    clean = separator_of(model.reward).join([CLEAN_TEXT] * len(PERSPECTIVES))
    words = clean if text is None else text
    asked = torch.tensor(_BEST if reward is None or isinstance(reward, str) else reward)
    scores, keep = asked, torch.ones(len(PERSPECTIVES))
    if reward == "none":
        scores, keep, words = torch.zeros_like(scores), torch.zeros_like(keep), ""
    each = {"scores": scores, "keep": keep, "reward_text": model.texts.ids([words])[0]}
    return {name: value.to(model.device).expand(count, -1) for name, value in each.items()}
