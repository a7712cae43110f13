"""Loading of base models, extended for conditions, and of models trained by EditLoop."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from pydantic import BaseModel
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from editloop.errors import RecipeError, StoreError
from editloop.hub import weights
from editloop.models.backbones.base_request import Precision, Wanted
from editloop.models.backbones.checking import (
    check_before,
    check_channels,
    check_family,
    check_weights,
)
from editloop.models.backbones.families import FAMILIES, Family, family_of, imported
from editloop.models.backbones.lora import load_lora
from editloop.models.backbones.model import DiffusionModel, Lora
from editloop.models.backbones.saving import GROWN, INDEX, KIND, LORA, REWARD
from editloop.models.finding import model_in
from editloop.models.pipeline_loading import DTYPES, quietly
from editloop.models.reward import saved_rewards
from editloop.schema import Json
from editloop.settings import validate

__all__ = [
    "check_base",
    "family_named",
    "is_trained_here",
    "load_base",
    "load_trained",
    "trained_index",
]

_INDEX_KEYS = ("base", "conditions", "facts", "family", "lora", "reward")  # required in every index


class _Training(BaseModel):
    size: int | None = None


class _Facts(BaseModel):
    training: _Training = _Training()


class _Index(BaseModel):
    """The types of an index, which may be somebody else's."""

    base: str
    family: str
    conditions: tuple[str, ...]
    facts: _Facts
    lora: tuple[int, int] | None
    reward: dict[str, Any] | None


_Loader: TypeAlias = Callable[[str, Path, Wanted], DiffusionModel]


def load_base(name: str, wanted: Wanted) -> DiffusionModel:
    """Load the model of a folder or hub name, extended for the wanted conditions.

    For a model trained by EditLoop, its reward condition or its adapters (LoRA) with their base are
    loaded too. Raises UnavailableError if it is not on this machine (with the command that
    downloads it), StoreError if it is incomplete, RecipeError if it cannot take the conditions.
    """
    folder, family = check_base(name, wanted)
    if (adapters := _adapters_in(weights.find(name))) is not None:
        model = load_base(adapters["base"], wanted)
        if not wanted.outlined:
            _load_adapters(model, weights.find(name))
        return model
    before = trained_index(folder)
    load: _Loader = imported(family.loader)
    with quietly():
        model = load(name, folder, wanted)
    rewarded = before is not None and before["reward"] is not None
    if rewarded and wanted.reward is not None and not wanted.outlined:
        _load_reward(model, folder)
    return model


def check_base(name: str, wanted: Wanted) -> tuple[Path, Family]:
    """Return the folder and family of a base, or of the base of adapters (LoRA).

    Raises the errors of `load_base` that can be found from configurations alone.
    """
    folder = weights.find(name)
    if (inside := model_in(folder)) is not None:
        raise RecipeError("this is a run's folder, not a model", value=name, fix=f"use {inside}")
    before = trained_index(folder)
    if before is not None:
        check_before(before, name, wanted)
    if (adapters := _adapters_in(folder)) is not None:
        return check_base(adapters["base"], wanted)
    family = family_of(folder)
    check_family(family, name, wanted)
    check_channels(folder, family, wanted)
    check_weights(folder, family, name)
    return folder, family


def family_named(name: str) -> Family:
    """Return the family of a base by its folder or hub name, also of one trained by EditLoop.

    Raises UnavailableError if it is not on this machine, RecipeError if it is of no family.
    """
    folder = weights.find(name)
    index = trained_index(folder)
    return family_of(folder) if index is None else FAMILIES[index["family"]]


def is_trained_here(folder: Path) -> bool:
    """Return whether a folder has a diffusion model that `save_diffusion_model` wrote."""
    return trained_index(folder) is not None


def trained_index(folder: Path) -> Mapping[str, Json] | None:
    """Read the index of a diffusion model trained by EditLoop; None if the folder has none.

    Raises StoreError if the index cannot be read or lacks a key.
    """
    try:
        index: dict[str, Json] = dict(json.loads((folder / INDEX).read_bytes()))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, TypeError) as error:
        raise _unreadable(folder, str(error)) from error
    if index.get("kind") != KIND:
        return None
    if missing := [name for name in _INDEX_KEYS if name not in index]:
        raise _unreadable(folder, f"it has no {missing[0]}")
    try:
        validate(_Index, index, where=INDEX)
        saved_rewards(index["reward"])
    except (RecipeError, ValueError) as error:
        raise _unreadable(folder, str(error)) from error
    if index["family"] not in FAMILIES:
        raise _unreadable(folder, f"unknown family {index['family']}")
    return index


def _unreadable(folder: Path, why: str) -> StoreError:
    return StoreError(
        "a model's index cannot be read", value=folder / INDEX, fix=f"train it again ({why})"
    )


def _adapters_in(folder: Path) -> Mapping[str, Json] | None:
    """Return the index of a folder with adapters (LoRA) instead of a pipeline, else None."""
    index = trained_index(folder)
    return None if index is None or index["lora"] is None else index


def load_trained(folder: Path, precision: Precision = "fp32") -> DiffusionModel:
    """Load a model that `save_diffusion_model` wrote, for editing in `precision` throughout.

    Errors as in `load_base`.
    """
    index = trained_index(folder)
    if index is None:
        raise StoreError(
            "no trained diffusion model in this folder", value=folder, fix="use a model's folder"
        )
    wanted = Wanted(
        conditions=tuple(index["conditions"]),
        reward=saved_rewards(index["reward"]),
        lora=None if index["lora"] is None else Lora(*index["lora"]),
        precision=precision,
        trained=False,
    )
    model = load_base(str(folder), wanted)
    model.denoiser.to(DTYPES[precision]).eval()
    return model


def _load_adapters(model: DiffusionModel, folder: Path) -> None:
    """Load adapters, widened layers and the reward condition of a folder without a pipeline."""
    load_lora(model.network, _tensors(folder / LORA), model.family.part)
    trained = (name for name, each in model.network.named_parameters() if each.requires_grad)
    if grown := {name for name in trained if "lora_" not in name}:
        tensors = _tensors(folder / GROWN)
        if grown != tensors.keys():
            raise StoreError(
                "a model's folder is incomplete", value=folder / GROWN, fix="train it again"
            )
        model.network.load_state_dict(tensors, strict=False)
    if model.reward is not None:
        _load_reward(model, folder)


def _load_reward(model: DiffusionModel, folder: Path) -> None:
    try:
        model.condition("reward").load_state_dict(_tensors(folder / REWARD))
    except RuntimeError as error:
        raise StoreError(
            "the reward condition has another architecture",
            value=folder,
            fix=f"train it again ({error})",
        ) from error


def _tensors(path: Path) -> dict[str, Tensor]:
    try:
        tensors: dict[str, Tensor] = load_file(path)
    except (OSError, SafetensorError) as error:
        raise StoreError(
            "a model's folder is incomplete", value=path, fix=f"train it again ({error})"
        ) from error
    return tensors
