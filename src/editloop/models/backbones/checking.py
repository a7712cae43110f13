"""Checks of a base model from its configurations, before weights are read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from editloop.errors import RecipeError, StoreError, UnavailableError
from editloop.hub import weights
from editloop.models.backbones.base_request import Wanted
from editloop.models.backbones.extra_channels import check_room
from editloop.models.backbones.families import Family
from editloop.models.reward import saved_rewards
from editloop.schema import Json

__all__ = [
    "check_before",
    "check_channels",
    "check_family",
    "check_weights",
    "configuration",
    "multiple_of",
]

_LATENTS = 4  # channels, if an autoencoder's configuration omits diffusers' default


def check_before(before: Mapping[str, Json], name: str, wanted: Wanted) -> None:
    """Raise RecipeError if a model trained by EditLoop cannot be trained further as wanted."""
    if before["lora"] is not None:
        _check_adapters(before, name, wanted)
    saved = saved_rewards(before["reward"])
    if wanted.reward is None or saved is None:
        return
    if saved != wanted.reward:
        raise RecipeError(
            "this model was trained with another reward condition",
            value=name,
            fix=f"set reward: {saved.model_dump(mode='json')}",
        )


def _check_adapters(before: Mapping[str, Json], name: str, wanted: Wanted) -> None:
    """Raise RecipeError unless adapters keep their settings: they are not merged into the base."""
    rank, alpha = before["lora"]
    if wanted.lora is None or (wanted.lora.rank, wanted.lora.alpha) != (rank, alpha):
        raise RecipeError(
            "adapters (LoRA) can be trained further only with the same rank and alpha",
            value=name,
            fix=f"set lora: {{rank: {rank}, alpha: {alpha}}}, or start from {before['base']}",
        )
    if list(wanted.conditions) != before["conditions"]:
        raise RecipeError(
            "these adapters (LoRA) were trained with other conditions",
            value=f"{name}: {', '.join(wanted.conditions)}",
            fix=f"set conditions: [{', '.join(before['conditions'])}]",
        )


def check_family(family: Family, name: str, wanted: Wanted) -> None:
    """Raise RecipeError if a family cannot take the conditions, or be trained without LoRA."""
    if beyond := [each for each in wanted.conditions if each not in family.takes]:
        raise RecipeError(
            f"{family.name} cannot be conditioned on {' and '.join(beyond)}",
            value=name,
            fix=f"leave it out: possible conditions are {', '.join(family.takes)}",
        )
    if wanted.trained and wanted.lora is None and not family.whole:
        raise RecipeError(
            f"{family.name} can only be trained with low-rank adapters",
            value=name,
            fix="set lora, such as lora: {rank: 16}",
        )


def check_channels(folder: Path, family: Family, wanted: Wanted) -> None:
    """Raise RecipeError if a network's input channels don't fit the wanted conditions."""
    if family.reads_tokens:
        return
    latents = int(configuration(folder / "vae").get("latent_channels", _LATENTS))
    network = configuration(folder / family.part)
    check_room(int(network.get("in_channels", latents)), latents, folder, wanted)


def check_weights(folder: Path, family: Family, name: str) -> None:
    """Raise UnavailableError unless each network's weights exist as safetensors."""
    for part in (family.part, "vae", "text_encoder"):
        if not any((folder / part).glob("*.safetensors")):
            raise UnavailableError(
                "the checkpoint has no weights in safetensors format",
                value=folder / part,
                command=None if Path(name).expanduser().is_dir() else weights.command(name),
            )


def multiple_of(folder: Path, family: Family) -> int:
    """Return the number that pictures' sides must be multiples of: `DiffusionModel.multiple`."""
    blocks = configuration(folder / "vae").get("block_out_channels", [0])
    patch = family.patch or int(configuration(folder / family.part).get("patch_size", 1))
    factor: int = 2 ** (len(blocks) - 1)
    return factor * patch


def configuration(part: Path) -> dict[str, Json]:
    """Read the configuration of a pipeline's part; raise StoreError if it cannot be read."""
    path = part / "config.json"
    try:
        read: dict[str, Json] = dict(json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError) as error:
        raise StoreError(
            "a checkpoint's configuration cannot be read", value=path, fix=str(error)
        ) from error
    return read
