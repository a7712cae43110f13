"""The structure distance of two pictures: the difference of their self-similarities.

Tumanyan et al. 2022 (Splicing ViT Features, equation 3): the mean squared difference of the two
self-similarities of the keys in the last layer of a DINO ViT.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from editloop.errors import UnavailableError
from editloop.metrics.cosines import scored
from editloop.metrics.encoders import ImageModel, Precision, missing
from editloop.metrics.geometry import resized_to
from editloop.metrics.networks import exact, load
from editloop.metrics.views import interpolated
from editloop.schema import EditedPair, Pixels, Score, Unscored
from editloop.settings import Settings as BaseSettings

__all__ = ["VERSION", "StructureMetric", "self_similarity"]

VERSION = "1"

_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
_STD = np.array([0.229, 0.224, 0.225], np.float32)
_SMALLEST = 1e-8  # lower limit of the product of two lengths


class StructureMetric:
    """The structure distance of the edited picture and the source: 0 or more, lower is closer.

    The shorter side is resized to 224 px, the longer one to at most 480 px, bilinear without
    antialiasing, as torchvision 0.13 resizes tensors. The network was trained on values in [0, 1]
    before normalising, but PIE-Bench's released evaluator, which made its published numbers, gives
    it values in [0, 255]; `values` selects the range.
    """

    class Settings(BaseSettings):
        """The encoder, and the range of its input."""

        model: str = Field(
            default="facebook/dino-vitb8", description="a DINO ViT: hub name or folder"
        )
        values: Literal["byte", "unit"] = Field(
            default="byte",
            description="range before normalising: 0 to 255 (PIE-Bench's evaluator) or 0 to 1",
        )
        precision: Precision = Field(
            default="fp32", description="precision of weights and computation"
        )

    def __init__(self, settings: StructureMetric.Settings) -> None:
        self._model = ImageModel(settings.model, "dino", settings.precision)
        self._white = np.float32(1 if settings.values == "byte" else 255)
        self._network: Any = None
        self.name = "structure"
        self.version = VERSION
        self.weights = (settings.model,)
        self.needs = frozenset({"source", "edited"})

    def missing(self) -> UnavailableError | None:
        """Return an error that names the missing weights, or None; loads nothing."""
        return missing([self._model])

    def measure(self, batch: Sequence[EditedPair]) -> list[Score | Unscored]:
        """Return the distance of each pair, in order; each pair is encoded separately."""
        return [scored(self._distance(pair), VERSION) for pair in batch]

    def _distance(self, pair: EditedPair) -> float | str:
        edited = resized_to(pair.edited, pair.source.shape[:2])
        first, second = self_similarity(self._keys([pair.source, edited]))
        value = float(torch.mean((first - second) ** 2))
        return value if np.isfinite(value) else "the distance is not a finite number"

    def _keys(self, pictures: Sequence[Pixels]) -> Tensor:
        """Return the keys of every patch in the last layer: [n, patches + 1, d], float32."""
        if self._network is None:
            self._network = load(self._model, attn_implementation="sdpa")
        side = int(self._model.config["image_size"])
        inputs = np.stack([self._input(picture, side) for picture in pictures])
        given = torch.from_numpy(inputs).to(self._network.device, self._network.dtype)
        kept: list[Tensor] = []
        hook = _last_keys(self._network).register_forward_hook(
            lambda _module, _given, made: kept.append(made)
        )
        try:
            with torch.inference_mode(), exact():
                self._network(given, interpolate_pos_encoding=True)
        finally:
            hook.remove()
        return kept[0].float()

    def _input(self, pixels: Pixels, side: int) -> NDArray[np.float32]:
        """Return the network's input for a picture: [3, h, w]."""
        values = pixels.astype(np.float32) / self._white
        sized = interpolated(values, _sizes(pixels.shape[:2], side), "bilinear")
        return np.ascontiguousarray(((sized - _MEAN) / _STD).transpose(2, 0, 1))


def self_similarity(keys: Tensor) -> Tensor:
    """Return the cosines between all keys of a picture: [n, t, d] to [n, t, t]."""
    length: Tensor = torch.linalg.vector_norm(keys, dim=2, keepdim=True)
    product = (length @ length.transpose(1, 2)).clamp(min=_SMALLEST)
    similarity: Tensor = (keys @ keys.transpose(1, 2)) / product
    return similarity


def _sizes(size: tuple[int, ...], side: int) -> tuple[int, int]:
    """Return the (height, width) with shorter side `side` and longer side at most 480/224 of it."""
    limit = side * 480 // 224
    short, long = min(size), max(size)
    new_short, new_long = side, int(side * long / short)
    if new_long > limit:
        new_short, new_long = int(limit * new_short / new_long), limit
    return (new_short, new_long) if size[0] <= size[1] else (new_long, new_short)


def _last_keys(network: torch.nn.Module) -> torch.nn.Module:
    """Return the layer that computes the keys; its name depends on the version of transformers."""
    named: list[tuple[str, torch.nn.Module]] = list(network.named_modules())
    return [part for name, part in named if name.endswith((".k_proj", ".key"))][-1]
