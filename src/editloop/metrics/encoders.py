"""Descriptions of encoders: the weights, preprocessing and precision that make an embedding.

An `ImageModel` is cheap to create and to compare. `networks.load` loads its network, which is
needed only for pictures and texts that are not in the embedding store.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from editloop.errors import RecipeError, UnavailableError
from editloop.hub import weights
from editloop.metrics import views
from editloop.metrics.views import Crop, Values, View
from editloop.runtime.machine import device
from editloop.schema import Json, canonical_json

__all__ = ["ImageModel", "Kind", "LongTexts", "Precision", "missing"]

Kind: TypeAlias = Literal["clip", "dino", "dinov2"]
Precision: TypeAlias = Literal["fp32", "bf16"]
LongTexts: TypeAlias = Literal["unscored", "cut"]

_CLIP = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
_IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

# Of a vision transformer whose config.json does not state them.
_SIZES = {"hidden_size": 768, "num_hidden_layers": 12, "patch_size": 16}

# The values of `model_type` in config.json, for each kind of encoder.
_TYPES = {"clip": {"clip"}, "dino": {"vit"}, "dinov2": {"dinov2", "dinov2_with_registers"}}


@dataclass(frozen=True, slots=True)
class ImageModel:
    """An encoder of pictures (CLIP: also of texts): a hub name or folder, and its settings.

    `crop` and `values` are a `View`'s; `long_texts` is whether texts that are longer than the model
    reads are cut. Two models with equal `key`s give equal embeddings.
    """

    name: str
    kind: Kind = "clip"
    precision: Precision = "fp32"
    crop: Crop = "centre"
    values: Values = "unit"
    long_texts: LongTexts = "unscored"

    @property
    def folder(self) -> Path:
        """The folder of the weights; UnavailableError, with a command, if they are missing."""
        folder = weights.find(self.name)
        if not (folder / "config.json").is_file():
            raise UnavailableError(
                "this folder holds no model", value=folder, command=weights.command(self.name)
            )
        return folder

    @property
    def key(self) -> str:
        """A key of all that can change embeddings: weights, preprocessing, precision and device."""
        content = [_fingerprint(self.folder), self.kind, self.crop, views.VERSION]
        content += [each for each in (self.values, self.long_texts) if each in ("signed", "cut")]
        digest = hashlib.sha256(canonical_json(content).encode()).hexdigest()[:16]
        return f"{self.kind}-{self.crop}-{self.precision}-{device()}-{digest}"

    @property
    def config(self) -> dict[str, Json]:
        """The model's configuration; RecipeError if it is of another kind."""
        found = _read(self.folder / "config.json")
        if found.get("model_type") not in _TYPES[self.kind]:
            raise RecipeError(
                f"not a {self.kind} model",
                value=f"{self.name} ({found.get('model_type')})",
                fix=f"name a model of type {' or '.join(sorted(_TYPES[self.kind]))}",
            )
        return found

    @property
    def view(self) -> View:
        """The preprocessing, with the model's own sizes and means if its files have them."""
        config = self.config
        stated = _processor(self.folder)
        own = config.get("vision_config", config).get("image_size", 224)
        mean, std = _CLIP if self.kind == "clip" else _IMAGENET
        mean, std = tuple(stated.get("image_mean", mean)), tuple(stated.get("image_std", std))
        if self.crop == "nearest":
            return View(_side(own), _side(own), crop="nearest")
        size = _side(stated.get("crop_size", stated.get("size", own)))
        if self.kind == "dino":
            return View(size, size * 8 // 7, mean, std, self.crop)
        return View(size, _side(stated.get("size", size)), mean, std, self.crop, self.values)

    @property
    def work(self) -> float:
        """The work of encoding a picture, about its number of multiplications in linear layers."""
        config = self.config
        vision = {**_SIZES, **config.get("vision_config", config)}
        patches = (self.view.size / vision["patch_size"]) ** 2
        return float(12 * vision["hidden_size"] ** 2 * vision["num_hidden_layers"] * patches)

    @property
    def longest_text(self) -> int:
        """The maximum number of tokens of a text, including the start and end tokens."""
        return int(self.config.get("text_config", {}).get("max_position_embeddings", 77))


def missing(models: Sequence[ImageModel]) -> UnavailableError | None:
    """Return an error that names the first model without weights, or None; loads nothing."""
    for model in models:
        try:
            _ = model.folder
        except UnavailableError as error:
            return error
    return None


def _processor(folder: Path) -> dict[str, Json]:
    """Return the image processor's settings, from either of the files that may hold them."""
    if (folder / "preprocessor_config.json").is_file():
        return _read(folder / "preprocessor_config.json")
    if (folder / "processor_config.json").is_file():
        found: dict[str, Json] = _read(folder / "processor_config.json").get("image_processor", {})
        return found
    return {}


def _read(path: Path) -> dict[str, Json]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RecipeError(
            "cannot read a model's configuration", value=path, fix=str(error)
        ) from None
    if not isinstance(found, dict):
        raise RecipeError(
            "a model's configuration is not a JSON object", value=path, fix="download it again"
        )
    return found


def _side(size: Json) -> int:
    """Return a side from a number, or from a mapping with the shorter side or with both."""
    if isinstance(size, dict):
        size = size.get("shortest_edge", size.get("height"))
    return int(size)


def _fingerprint(folder: Path) -> str | None:
    """Return an identity of the weights: the hub's revision, or one of the files' content."""
    if folder.parent.name == "snapshots" and re.fullmatch(r"[0-9a-f]{40}", folder.name):
        return folder.name
    return weights.identity(str(folder))
