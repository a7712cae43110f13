"""Golden test: the structure distance, recomputed in NumPy from the weights of the keys."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import ViTModel

from editloop.metrics.structure import StructureMetric
from editloop.runtime.seeding import generator
from editloop.schema import EditedPair, Pixels, Score


def picture(name: str, height: int = 64, width: int = 64) -> Pixels:
    return generator("structure", name).integers(0, 256, (height, width, 3), dtype=np.uint8)


def distance(folder: Path, source: Pixels, edited: Pixels, **settings: str) -> float:
    metric = StructureMetric(StructureMetric.Settings(model=str(folder), **settings))
    (score,) = metric.measure([EditedPair("a", source, "", edited)])
    assert isinstance(score, Score), score
    return score.value


def similarities(folder: Path, pixels: Pixels, size: tuple[int, int], white: int) -> np.ndarray:
    """Compute the self-similarity [t, t] from keys made by hand from the last layer's input."""
    model = ViTModel.from_pretrained(folder, add_pooling_layer=False).eval()
    values = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / white
    values = torch.nn.functional.interpolate(values, size, mode="bilinear", align_corners=False)
    mean = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
    std = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    given = {"interpolate_pos_encoding": True, "output_hidden_states": True}
    with torch.no_grad():
        states = model((values - mean) / std, **given).hidden_states
    state = states[len(model.layers) - 1][0].numpy().astype(float)
    weights = {name: value.numpy().astype(float) for name, value in model.state_dict().items()}
    prefix = f"layers.{len(model.layers) - 1}."
    state = state - state.mean(1, keepdims=True)
    state /= np.sqrt((state**2).mean(1, keepdims=True) + model.config.layer_norm_eps)
    norm, keys = prefix + "layernorm_before", prefix + "attention.k_proj"
    state = state * weights[norm + ".weight"] + weights[norm + ".bias"]
    made = state @ weights[keys + ".weight"].T + weights[keys + ".bias"]
    made /= np.linalg.norm(made, axis=1, keepdims=True)
    return made @ made.T


@pytest.mark.parametrize(("values", "white"), [("byte", 1), ("unit", 255)])
@pytest.mark.parametrize(
    ("shape", "size"), [((64, 64), (32, 32)), ((60, 80), (32, 42)), ((240, 40), (68, 11))]
)
def test_it_is_the_squared_difference_of_the_keys_self_similarities(
    dino_folder: Path, shape: tuple[int, int], size: tuple[int, int], values: str, white: int
) -> None:
    source, edited = picture("source", *shape), picture("edited", *shape)
    first = similarities(dino_folder, source, size, white)
    second = similarities(dino_folder, edited, size, white)
    made = distance(dino_folder, source, edited, values=values)
    assert made == pytest.approx(np.mean((first - second) ** 2), abs=1e-6)
    assert made > 1e-3


def test_a_copy_has_the_same_structure(dino_folder: Path) -> None:
    assert distance(dino_folder, picture("a"), picture("a")) == 0


def test_an_edited_picture_of_another_size_is_resized_to_the_source(dino_folder: Path) -> None:
    assert distance(dino_folder, picture("a"), picture("b", 80, 48)) > 0


def test_absent_weights_come_with_the_command() -> None:
    metric = StructureMetric(StructureMetric.Settings())
    assert metric.weights == ("facebook/dino-vitb8",)
    assert metric.needs == {"source", "edited"}
    error = metric.missing()
    assert error is not None
    assert error.command == "hf download facebook/dino-vitb8"
