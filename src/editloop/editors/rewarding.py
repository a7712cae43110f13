"""Checks of the rewards that an edit is asked for."""

from __future__ import annotations

from editloop.editors.checkpoints import Checkpoint
from editloop.errors import RecipeError

__all__ = ["check_rewards"]


def check_rewards(
    checkpoint: Checkpoint, reward: tuple[float, ...] | str | None, text: str | None
) -> None:
    """Raise RecipeError for rewards that a model does not support; its weights are not read."""
    variant = None if checkpoint.reward is None else checkpoint.reward.variant
    if variant is None and not (reward is None and text is None):
        raise RecipeError(
            "this model was trained without rewards",
            value=checkpoint.name,
            fix="leave out `reward` and `reward_text`, or name a model that was trained with them",
        )
    if reward == "none" and not checkpoint.edits_unrewarded:
        cause = "the released reward condition needs scores"
        if variant != "released":
            cause = (
                "this model has never seen an edit without rewards: none was dropped in training"
            )
        raise RecipeError(
            cause,
            value=f"reward=none for {checkpoint.name}",
            fix="give three scores, such as reward=5,5,5, or train with drop.reward=0.1",
        )
