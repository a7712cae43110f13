"""Saving and loading of pocket models as folders.

editloop.json            the index: kind, settings, text lengths, and `facts`
unet/, text_encoder/     in the layout of diffusers and transformers
tokenizer/
conditions.safetensors   the weights of its conditions, if they have any
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn
from transformers import AutoTokenizer

from editloop.errors import StoreError
from editloop.hub.pretrained import load_pretrained
from editloop.models.pocket import PocketModel, PocketSettings, Vocabulary
from editloop.models.reward import saved_rewards
from editloop.schema import Json, readable_json
from editloop.settings import validate

__all__ = ["INDEX", "load_model", "save_model"]

INDEX = "editloop.json"
_KIND = "pocket"
_DAMAGE = (
    *(AttributeError, KeyError, OSError, RuntimeError, TypeError, ValueError),
    SafetensorError,
)


def save_model(model: PocketModel, folder: Path, facts: Mapping[str, Json]) -> None:
    """Write a model into a folder; equal models and facts give equal bytes.

    `facts` (JSON) describe its training. The index is written last, so a folder with an index is
    complete.
    """
    model.network.unet.save_config(folder / "unet")
    model.text_encoder.config.save_pretrained(folder / "text_encoder")
    model.vocabulary.tokenizer.save_pretrained(folder / "tokenizer")
    for path, part in _weights(model, folder):
        tensors = {name: each.contiguous() for name, each in part.state_dict().items()}
        path.write_bytes(save(tensors, metadata={"format": "pt"}))
    index = {
        "kind": _KIND,
        "settings": model.settings.model_dump(mode="json"),
        "tokens": {"text": model.vocabulary.text, "reward": model.vocabulary.reward},
        "facts": dict(facts),
    }
    (folder / INDEX).write_bytes(readable_json(index))


def load_model(folder: Path) -> PocketModel:
    """Load a model that `save_model` wrote, in evaluation mode; raise StoreError if damaged."""
    index = _read_index(folder)
    saved = {**index["settings"], "reward": saved_rewards(index["settings"]["reward"])}
    settings = validate(PocketSettings, saved, where=str(folder / INDEX))
    try:
        vocabulary = Vocabulary(
            load_pretrained(AutoTokenizer, folder, subfolder="tokenizer"),
            text=index["tokens"]["text"],
            reward=index["tokens"]["reward"],
        )
        if None in _ends(vocabulary.tokenizer):
            raise ValueError("its tokenizer has no padding, start or end token")
        model = PocketModel(settings, vocabulary)
        for path, part in _weights(model, folder):
            part.load_state_dict(load_file(path))
    except _DAMAGE as error:
        raise StoreError(
            "a model folder is damaged", value=folder, fix=f"train it again ({error})"
        ) from error
    return model.eval()


def _ends(tokenizer: Any) -> tuple[int | None, ...]:
    return tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id


def _weights(model: PocketModel, folder: Path) -> Iterator[tuple[Path, nn.Module]]:
    """Yield each part that has weights, with its file in the layout of its library."""
    yield folder / "unet" / "diffusion_pytorch_model.safetensors", model.network.unet
    yield folder / "text_encoder" / "model.safetensors", model.text_encoder
    if model.network.conditions.state_dict():
        yield folder / "conditions.safetensors", model.network.conditions


def _read_index(folder: Path) -> dict[str, Json]:
    path = folder / INDEX
    try:
        index: dict[str, Json] = dict(json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError) as error:
        raise StoreError(
            "no model in this folder: it has no readable index",
            value=path,
            fix="use a folder from `editloop run`, such as runs/quickstart/models/plain",
        ) from error
    if index.get("kind") != _KIND:
        raise StoreError("unknown kind of model", value=index.get("kind"), fix=f"known: {_KIND}")
    return index
