"""Identify a diffusion model that can edit from its configuration files, without loading weights.

Supported are the editing pipelines of `models.backbones`: their network takes the noisy latents and
the source's, or also the mask's. They come as a folder in diffusers layout, as one original file,
or as the output of a training with EditLoop. Reward-InsPix2Pix, as its authors released it, is
recognised by the additional weights of its network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from editloop.editors.asking import ORIGINAL
from editloop.editors.released import is_released
from editloop.errors import RecipeError, UnavailableError
from editloop.hub import weights
from editloop.models.backbones.base_loading import trained_index
from editloop.models.backbones.checking import check_weights, configuration
from editloop.models.backbones.families import FAMILIES, Family, pipeline_class_of
from editloop.models.reward import RewardSettings, saved_rewards
from editloop.schema import Json

__all__ = ["Checkpoint", "read_checkpoint"]

_UNDERSTOOD = {family.saved_as: family for family in FAMILIES.values()}
_HINTS = {
    "StableDiffusionPipeline": (
        "it makes pictures from text: use it with sdedit:, diffedit:, null-text: or ledits++:"
    ),
    "StableDiffusionXLPipeline": ("it makes pictures from text: use it with sdedit: or ledits++:"),
    "StableDiffusion3Pipeline": "it makes pictures from text: editloop train teaches it to edit",
    "StableDiffusionInpaintPipeline": "it paints a masked region: use it with inpaint:",
    "StableDiffusionXLInpaintPipeline": "it paints a masked region: use it with inpaint:",
    "QwenImageEditPipeline": "use it with qwen-image-edit:",
    "QwenImageEditPlusPipeline": "use it with qwen-image-edit:",
}


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The location of a model and its inputs.

    `folder` holds the model in diffusers layout or the output of a training; for an original
    `file` it holds the configuration. `base` is the folder of the model that trained adapters
    extend. `size` is the side in pixels used in a training with EditLoop. `edits_unrewarded` is
    whether a model with rewards can be asked for none: it has seen samples without in training.
    """

    name: str
    family: Family
    folder: Path
    file: Path | None
    conditions: tuple[str, ...]
    reward: RewardSettings | None = None
    trained: bool = False
    base: Path | None = None
    size: int | None = None
    edits_unrewarded: bool = False

    @property
    def takes_mask(self) -> bool:
        """True if the network takes a mask."""
        return "mask" in self.conditions


def read_checkpoint(target: str, config: str) -> Checkpoint:
    """Identify the checkpoint of a name: a folder, a hub name, or an original file.

    `config` is the folder or hub name with the configuration of an original file. Raises
    UnavailableError where the checkpoint is not on this machine, and RecipeError where it is of
    another kind, with a hint on how to use it.
    """
    path = Path(target).expanduser()
    file = path if path.is_file() else None
    if file is not None and file.suffix not in ORIGINAL:
        raise RecipeError(
            "not a checkpoint file", value=file, fix=f"name a folder, or a {_or(ORIGINAL)} file"
        )
    if file is None and path.suffix in ORIGINAL:
        raise UnavailableError("no such file", value=path)
    folder = weights.find(target if file is None else config)
    index = None if file is not None else trained_index(folder)
    if index is not None:
        return _trained(target, folder, index)
    family = _family(folder)
    if file is None:
        check_weights(folder, family, target)
        if family.name == "sd" and is_released(folder):
            reward = RewardSettings(variant="released")
            return Checkpoint(target, family, folder, None, ("source", "reward"), reward)
    return Checkpoint(target, family, folder, file, _conditions(folder, family))


def _trained(target: str, folder: Path, index: Mapping[str, Json]) -> Checkpoint:
    facts = index["facts"]
    training = facts.get("training", {})
    dropped = training.get("drop", {}).get("reward")  # what older versions tell
    return Checkpoint(
        name=target,
        family=FAMILIES[index["family"]],
        folder=folder,
        file=None,
        conditions=tuple(index["conditions"]),
        reward=saved_rewards(index["reward"]),
        trained=True,
        base=None if index["lora"] is None else weights.find(index["base"]),
        size=training.get("size"),
        edits_unrewarded=facts.get("edits_unrewarded", dropped != 0),
    )


def _family(folder: Path) -> Family:
    name = pipeline_class_of(folder)
    if name not in _UNDERSTOOD:
        raise RecipeError(
            f"{name} is not a pipeline that edits a picture by an instruction",
            value=folder,
            fix=_HINTS.get(name, f"use one of these: {_or(tuple(_UNDERSTOOD))}"),
        )
    return _UNDERSTOOD[name]


def _conditions(folder: Path, family: Family) -> tuple[str, ...]:
    """Return a network's conditions by its input channels; FLUX, which takes tokens: the source."""
    if family.bases == (family.saved_as,):
        return ("source",)
    latents = int(configuration(folder / "vae").get("latent_channels", 4))
    channels = int(configuration(folder / family.part).get("in_channels", latents))
    if channels not in (2 * latents, 3 * latents):
        raise RecipeError(
            f"the network has {channels} input channels instead of {2 * latents} (with the source) "
            f"or {3 * latents} (with source and mask)",
            value=folder,
            fix=_HINTS["StableDiffusionPipeline"]
            if channels == latents
            else "name a checkpoint of the InstructPix2Pix family",
        )
    return ("source", "mask") if channels == 3 * latents else ("source",)


def _or(names: tuple[str, ...]) -> str:
    return " or ".join(names)
