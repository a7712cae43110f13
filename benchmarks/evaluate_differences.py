"""Differences of our numbers and embeddings from the released evaluator's."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from editloop.images.codec import decode
from editloop.metrics.embeddings import Embeddings
from editloop.metrics.encoders import ImageModel, Kind, Precision
from editloop.schema import Json
from evaluate_standins import CenterCrop, Compose, Normalize, Resize, Standins, ToTensor
from evaluate_world import World

__all__ = ["LIMITS", "embedding_differences", "number_differences"]

_NAMES = {"l1": "l1", "l2": "l2", "clip_i": "clip-i", "dino": "dino", "clip_t": "clip-t"}
_BENCHMARKS = {"all-turns": "all_turn", "final-turn": "final_turn"}
_COSINES = {"fp32": 1e-5, "bf16": 2e-3}
LIMITS = {
    precision: {"l1": 1e-7, "l2": 1e-7, **dict.fromkeys(("clip_i", "dino", "clip_t"), limit)}
    for precision, limit in _COSINES.items()
}
_IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_Encode: TypeAlias = Callable[[Image.Image], NDArray[np.float32]]
_COMPARED = 8  # pictures whose embeddings are compared


def number_differences(out: Path, editor: str, theirs: Path) -> dict[str, dict[str, Json]]:
    """Return our mean, theirs and the difference, by benchmark and metric."""
    found = json.loads((out / "results.json").read_bytes())["evaluation"]
    released = json.loads((theirs / "evaluation_metrics.json").read_bytes())
    return {
        benchmark: {
            metric: _difference(
                found[f"magicbrush/{benchmark}"][editor][metric]["mean"], released[turns][name]
            )
            for metric, name in _NAMES.items()
        }
        for benchmark, turns in _BENCHMARKS.items()
    }


def embedding_differences(world: World, precision: Precision) -> dict[str, float]:
    """Return the largest relative distance to the released evaluator's embeddings, by encoder.

    Cosines of random encoders hide differences; embeddings do not. The released evaluator's
    embeddings are computed one picture at a time, with its own preprocessing.
    """
    paths = world.pictures[:: max(1, len(world.pictures) // _COMPARED)]
    pixels = [decode(path.read_bytes()) for path in paths]
    images = [Image.open(path).convert("RGB") for path in paths]
    encoders: dict[Kind, tuple[str, _Encode]] = {
        "clip": (world.clip, _clip(world)),
        "dino": (world.dino, _dino(world)),
    }
    found: dict[str, float] = {}
    for kind, (name, encode) in encoders.items():
        ours = Embeddings().images(ImageModel(name, kind, precision), pixels)
        theirs = np.stack([encode(image) for image in images])
        assert np.isfinite(ours).all()
        distances = np.linalg.norm(ours - theirs, axis=1) / np.linalg.norm(theirs, axis=1)
        found[kind] = float(distances.max())
    return found


def _clip(world: World) -> _Encode:
    model, transform = Standins(world.clip, world.dino).load_clip("ViT-B/32")
    return lambda image: model.encode_image(transform(image)[None]).detach()[0].numpy()


def _dino(world: World) -> _Encode:
    model = Standins(world.clip, world.dino).load_dino("facebookresearch/dino:main", "dino_vits16")
    side = ImageModel(world.dino, "dino").config["image_size"]
    transform = Compose(
        [Resize(side * 8 // 7, 3), CenterCrop(side), ToTensor(), Normalize(*_IMAGENET)]
    )
    return lambda image: model(transform(image)[None]).detach()[0].numpy()


def _difference(ours: float, theirs: float) -> dict[str, float]:
    return {"ours": ours, "theirs": theirs, "difference": abs(ours - theirs)}
