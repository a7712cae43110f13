"""A model as a folder: weights (safetensors), configuration, tokenizer, and how it was made.

editloop.json            what it is: kind, settings, lengths of texts, and `facts`
unet/, text_encoder/     as diffusers and transformers save them, and load them back
tokenizer/
conditions.safetensors   the weights of its conditions, where they have any
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from diffusers import UNet2DConditionModel
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, CLIPTextModel
from transformers.utils import logging

from editloop.errors import StoreError
from editloop.models.pocket import PocketModel, PocketSettings, Vocabulary
from editloop.recipe import validate
from editloop.schema import Json

__all__ = ["INDEX", "load_model", "save_model"]

INDEX = "editloop.json"
_CONDITIONS = "conditions.safetensors"
_KIND = "pocket"


def save_model(model: PocketModel, folder: Path, facts: Mapping[str, Json]) -> None:
    """Write a model into a folder; equal models and facts give equal bytes.

    `facts` (JSON) say how it was made. The index is written last, so its presence means that the
    rest is there.
    """
    with _without_bars():
        model.network.unet.save_pretrained(folder / "unet")
        model.text_encoder.save_pretrained(folder / "text_encoder")
        model.vocabulary.tokenizer.save_pretrained(folder / "tokenizer")
    weights = model.network.conditions.state_dict()
    if weights:
        save_file({name: each.contiguous() for name, each in weights.items()}, folder / _CONDITIONS)
    index = {
        "kind": _KIND,
        "settings": model.settings.model_dump(mode="json"),
        "tokens": {"text": model.vocabulary.text, "reward": model.vocabulary.reward},
        "facts": dict(facts),
    }
    for path in folder.rglob("*.safetensors"):
        path.chmod(0o644)  # they are written for their owner only
    text = json.dumps(index, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    (folder / INDEX).write_text(f"{text}\n", encoding="utf-8")


def load_model(folder: Path) -> PocketModel:
    """The model that `save_model` wrote, ready to predict; StoreError where it is not whole."""
    index = _read_index(folder)
    settings = validate(PocketSettings, index["settings"], where=str(folder / INDEX))
    try:
        vocabulary = Vocabulary(
            AutoTokenizer.from_pretrained(folder / "tokenizer"),
            text=index["tokens"]["text"],
            reward=index["tokens"]["reward"],
        )
        model = PocketModel(settings, vocabulary)
        _load_weights(model, folder)
    except (OSError, KeyError, RuntimeError, ValueError, SafetensorError) as error:
        raise StoreError(
            "a model folder is damaged", value=folder, fix=f"train it again ({error})"
        ) from error
    return model.eval()


def _load_weights(model: PocketModel, folder: Path) -> None:
    with _without_bars():
        unet: Any = UNet2DConditionModel.from_pretrained(folder / "unet")
        text_encoder: Any = CLIPTextModel.from_pretrained(folder / "text_encoder")
    model.network.unet.load_state_dict(unet.state_dict())
    model.text_encoder.load_state_dict(text_encoder.state_dict())
    if model.network.conditions.state_dict():
        model.network.conditions.load_state_dict(load_file(folder / _CONDITIONS))


@contextmanager
def _without_bars() -> Iterator[None]:
    """Keep transformers from drawing progress bars for files of a megabyte."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _read_index(folder: Path) -> dict[str, Json]:
    path = folder / INDEX
    try:
        index: dict[str, Json] = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise StoreError(
            "no model that can be loaded: it has no readable index",
            value=path,
            fix="name a folder that `editloop run` made, such as runs/quickstart/models/plain",
        ) from error
    if index.get("kind") != _KIND:
        raise StoreError(
            "a model of an unknown kind", value=index.get("kind"), fix=f"known: {_KIND}"
        )
    return index
