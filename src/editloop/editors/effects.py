"""Checks that each setting given for a model can change its edits; its weights are not read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from editloop.editors.checkpoints import Checkpoint
from editloop.errors import RecipeError
from editloop.models.backbones.checking import configuration

if TYPE_CHECKING:
    from editloop.editors.instruct import InstructSettings

__all__ = ["check_effects", "check_guidance_input", "check_reward_text", "without_effect"]

_DISTILLED = "transformer"  # the part of a pipeline that may take guidance as an input


def check_effects(checkpoint: Checkpoint, settings: InstructSettings) -> None:
    """Raise RecipeError for a setting that was given and changes nothing of this model's edits."""
    name, rewards = checkpoint.name, checkpoint.reward
    if "config" in settings.model_fields_set and checkpoint.file is None:
        raise without_effect("config", name, "it is for an original file, not for a folder")
    if settings.guidance is not None:
        check_guidance_input(checkpoint.base or checkpoint.folder, name)
    if rewards is None:
        return
    if isinstance(settings.reward, tuple) and not rewards.score:
        raise without_effect("reward", name, "it was trained with reward texts alone")
    if settings.reward_text is not None and not rewards.text:
        raise without_effect("reward_text", name, "it was trained with reward scores alone")
    check_reward_text(settings.reward, settings.reward_text, name)


def check_guidance_input(folder: Path, name: str) -> None:
    """Raise RecipeError unless a pipeline's network takes guidance as an input."""
    part = folder / _DISTILLED
    if not part.is_dir() or not configuration(part).get("guidance_embeds"):
        raise without_effect(
            "guidance", name, "its network takes no guidance as an input: see text_guidance"
        )


def check_reward_text(reward: object, text: str | None, name: str) -> None:
    """Raise RecipeError for a reward text beside `reward=none`, which leaves all rewards out."""
    if reward == "none" and text is not None:
        raise without_effect("reward_text", name, "reward=none leaves the text out too")


def without_effect(setting: str, name: str, why: str) -> RecipeError:
    """Return the error for a setting that changes nothing."""
    return RecipeError(
        f"the setting {setting} has no effect on this model ({why})",
        value=name,
        fix=f"leave out `{setting}`",
    )
