"""Saving of a trained model as a folder that diffusers loads, if it has the architecture.

model_index.json and the parts listed in it     a full pipeline with the trained network
reward/                                         the reward condition, if there is one
pytorch_lora_weights.safetensors                instead of a pipeline, if LoRA was trained
grown.safetensors                               with LoRA, the widened layers, if any
editloop.json                                   the index and training facts; written last
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diffusers.loaders.lora_base import LORA_ADAPTER_METADATA_KEY
from diffusers.utils import convert_state_dict_to_diffusers
from peft.utils import get_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import save
from torch import Tensor

from editloop.models.backbones.model import DiffusionModel
from editloop.models.pipeline_loading import INDEX as PIPELINE
from editloop.models.pipeline_loading import model_index
from editloop.schema import Json, readable_json
from editloop.storage.files import link_folder

__all__ = ["GROWN", "INDEX", "KIND", "LORA", "REWARD", "save_diffusion_model"]

INDEX = "editloop.json"
KIND = "diffusion"
REWARD = Path("reward") / "diffusion_pytorch_model.safetensors"
LORA = "pytorch_lora_weights.safetensors"
GROWN = "grown.safetensors"
_FORMAT = {"format": "pt"}
_LEFT_OUT = ("safety_checker", "feature_extractor", "image_encoder")


def save_diffusion_model(
    model: DiffusionModel, folder: Path, facts: Mapping[str, Json], *, beside: Path | None = None
) -> None:
    """Write a model into a folder; equal models and facts give equal bytes.

    `facts` (JSON) describe its training. The parts that are not trained are linked to those of
    `beside`, another folder with the model. Raises OSError if a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if model.lora is None:
        _save_pipeline(model, folder, beside)
    else:
        _save_lora(model, folder)
    if "reward" in model.conditions:
        _write(folder / REWARD, model.condition("reward").state_dict())
    index = {
        "kind": KIND,
        "family": model.family.name,
        "base": model.base if model.lora is None else _absolute_base(model.base),
        "conditions": list(model.conditions),
        "reward": None if model.reward is None else model.reward.model_dump(mode="json"),
        "lora": None if model.lora is None else [model.lora.rank, model.lora.alpha],
        "scales_sources": model.autoencoder.scales_sources,
        "facts": dict(facts),
    }
    (folder / INDEX).write_bytes(readable_json(index))


def _save_pipeline(model: DiffusionModel, folder: Path, beside: Path | None) -> None:
    """Save the base's pipeline with the trained network in place of the base's."""
    part = model.family.part
    index = model_index(model.folder)
    for name in set(_LEFT_OUT) & index.keys():
        index[name] = [None, None]
    for name, value in index.items():
        if isinstance(value, list) and value[0] is not None and name != part:
            if beside is None:
                _copy(model.folder / name, folder / name)
            else:
                link_folder(beside / name, folder / name)
    try:
        model.network.save_pretrained(folder / part)
    except SafetensorError as error:
        raise _os_error(error) from error
    index["_class_name"] = model.family.saved_as
    index.pop("_name_or_path", None)
    text = json.dumps(index, indent=2, sort_keys=True)
    (folder / PIPELINE).write_text(f"{text}\n", encoding="utf-8")


def _os_error(error: SafetensorError) -> Exception:
    """Return the OSError behind a safetensors error, such as of a full disk, if it has one."""
    number = re.search(r"\(os error (\d+)\)", str(error))
    return error if number is None else OSError(int(number[1]), os.strerror(int(number[1])))


def _copy(source: Path, folder: Path) -> None:
    """Copy a folder's files one by one, so that an error names the file."""
    for path in source.rglob("*"):
        if path.is_file():
            target = folder / path.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)


def _save_lora(model: DiffusionModel, folder: Path) -> None:
    """Save adapters in diffusers' format, so that the base's `load_lora_weights` loads them."""
    part: str = model.family.part
    layers: dict[str, Tensor] = get_peft_model_state_dict(model.network)
    if part == "unet":  # UNet adapters are saved under older names
        layers = convert_state_dict_to_diffusers(layers)
    settings = _settings(model.network.peft_config["default"])
    metadata = {f"{part}.{name}": value for name, value in settings.items()}
    _write(
        folder / LORA,
        {f"{part}.{name}": each for name, each in layers.items()},
        {LORA_ADAPTER_METADATA_KEY: json.dumps(metadata, indent=2, sort_keys=True)},
    )
    grown = {
        name: each
        for name, each in model.network.named_parameters()
        if each.requires_grad and "lora_" not in name
    }
    if grown:
        _write(folder / GROWN, grown)


def _absolute_base(base: str) -> str:
    """Return the base's hub name or absolute path, valid from any working directory."""
    folder = Path(base).expanduser()
    return str(folder.absolute()) if folder.is_dir() else base


def _settings(config: Any) -> dict[str, Json]:
    """Return peft's settings with sets as sorted lists: equal adapters give equal bytes."""
    return {
        name: sorted(value) if isinstance(value, set) else value
        for name, value in config.to_dict().items()
    }


def _write(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] = _FORMAT
) -> None:
    """Write tensors with at most one metadata entry: the order of several is not fixed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = {name: each.detach().cpu().contiguous() for name, each in tensors.items()}
    path.write_bytes(save(whole, metadata=dict(metadata)))
