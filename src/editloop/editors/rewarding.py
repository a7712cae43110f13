"""Reward inputs of a model with a reward condition: the scores that an edit should get."""

from __future__ import annotations

import torch
from torch import Tensor

from editloop.errors import RecipeError
from editloop.models.backbones.model import DiffusionModel
from editloop.models.reward import RewardSettings, separator_of
from editloop.schema import CLEAN_TEXT, PERSPECTIVES

__all__ = ["BEST", "check_rewards", "rewards_for"]

BEST = (5.0, 5.0, 5.0)


def check_rewards(
    settings: RewardSettings | None,
    reward: tuple[float, ...] | str | None,
    text: str | None,
    name: str,
) -> None:
    """Raise RecipeError for rewards that a model does not support, before its weights are read."""
    if settings is None and not (reward is None and text is None):
        raise RecipeError(
            "this model was trained without rewards",
            value=name,
            fix="leave out `reward` and `reward_text`, or name a model that was trained with them",
        )
    if settings is not None and settings.variant == "released" and reward == "none":
        raise RecipeError(
            "the released reward condition needs scores",
            value="reward=none",
            fix="give three scores, such as reward=5,5,5",
        )


def rewards_for(
    model: DiffusionModel, reward: tuple[float, ...] | str | None, text: str | None, count: int
) -> dict[str, Tensor]:
    """Return the reward inputs of `count` edits; by default the best scores and clean texts.

    Empty for a model without the condition. The released variant joins its texts by "; ".
    """
    if model.reward is None:
        return {}
    clean = separator_of(model.reward).join([CLEAN_TEXT] * len(PERSPECTIVES))
    words = clean if text is None else text
    asked = torch.tensor(BEST if reward is None or isinstance(reward, str) else reward)
    scores, keep = asked, torch.ones(len(PERSPECTIVES))
    if reward == "none":
        scores, keep, words = torch.zeros_like(scores), torch.zeros_like(keep), ""
    each = {"scores": scores, "keep": keep, "reward_text": model.texts.ids([words])[0]}
    return {name: value.to(model.device).expand(count, -1) for name, value in each.items()}
