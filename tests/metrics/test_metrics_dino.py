"""Golden tests: DINO's and DINOv2's similarity, recomputed with the model alone."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import Dinov2Model, ViTModel

from editloop.metrics.dino import DinoMetric, Dinov2Metric
from editloop.metrics.embeddings import Embeddings, EncodeCounts
from editloop.registry import parse_spec
from editloop.runtime.seeding import generator
from editloop.schema import EditedPair, Pixels, Score, Unscored
from released_rules import IMAGENET_MEAN, IMAGENET_STD, cosine, released_input


def picture(name: str, height: int = 45, width: int = 60) -> Pixels:
    return generator("dino", name).integers(0, 256, (height, width, 3), dtype=np.uint8)


def pair(target: Pixels | None = None) -> EditedPair:
    return EditedPair("a", picture("source"), "", picture("edited", 52, 41), target)


def value(score: Score | Unscored) -> float:
    assert isinstance(score, Score), score
    return score.value


@torch.no_grad()
def class_token(model: torch.nn.Module, values: torch.Tensor) -> np.ndarray:
    return model(values).last_hidden_state[0, 0].numpy()


@pytest.mark.parametrize("against", ["target", "source"])
def test_dino_is_the_class_token_after_the_last_norm(dino_folder: Path, against: str) -> None:
    bare = ViTModel.from_pretrained(dino_folder, add_pooling_layer=False).eval()
    shown = pair(picture("target"))
    tokens = [  # 256 to 224, at this size: 36 to 32
        class_token(bare, released_input(each, 36, 32, IMAGENET_MEAN, IMAGENET_STD))
        for each in (shown.edited, picture(against))
    ]
    metric = DinoMetric(DinoMetric.Settings(model=str(dino_folder), against=against))
    made = value(metric.measure([shown])[0])
    assert made == pytest.approx(cosine(*tokens), abs=1e-6)


def test_dinov2_is_the_class_token_of_its_own_crop(dinov2_folder: Path) -> None:
    bare = Dinov2Model.from_pretrained(dinov2_folder).eval()
    shown = pair(picture("target"))
    tokens = [
        class_token(bare, released_input(each, 40, 35, IMAGENET_MEAN, IMAGENET_STD))
        for each in (shown.edited, shown.target)
    ]
    metric = Dinov2Metric(Dinov2Metric.Settings(model=str(dinov2_folder)))
    assert value(metric.measure([shown])[0]) == pytest.approx(cosine(*tokens), abs=1e-6)


def test_ultra_edit_shows_dinov2_the_nearest_pixels_as_they_are(dinov2_folder: Path) -> None:
    bare = Dinov2Model.from_pretrained(dinov2_folder).eval()
    shown = pair()
    tokens = []
    for each in (shown.edited, shown.source):
        values = torch.from_numpy(each).permute(2, 0, 1)[None].float() / 255
        tokens.append(class_token(bare, torch.nn.functional.interpolate(values, size=(42, 42))))
    settings = Dinov2Metric.Settings(model=str(dinov2_folder), against="source", crop="nearest")
    made = value(Dinov2Metric(settings).measure([shown])[0])
    assert made == pytest.approx(cosine(*tokens), abs=1e-6)


def test_a_case_without_target_is_unscored_and_shifts_no_other(dino_folder: Path) -> None:
    metric = DinoMetric(DinoMetric.Settings(model=str(dino_folder)))
    shown = [pair(picture("target")), pair(), pair(picture("other"))]
    made = metric.measure(shown)
    assert made[1] == Unscored("the case has no target", "1")
    assert [made[0], made[2]] == [metric.measure([shown[0]])[0], metric.measure([shown[2]])[0]]


def test_a_copy_is_alike(dino_folder: Path) -> None:
    metric = DinoMetric(DinoMetric.Settings(model=str(dino_folder)))
    shown = EditedPair("a", picture("a"), "", picture("b"), picture("b"))
    assert value(metric.measure([shown])[0]) == pytest.approx(1, abs=1e-12)


def test_a_picture_in_many_pairs_is_encoded_once(dino_folder: Path) -> None:
    store = Embeddings()
    metric = DinoMetric(DinoMetric.Settings(model=str(dino_folder), against="source"))
    metric.use(store)
    metric.measure([pair(), pair(), pair()])
    assert store.counts == EncodeCounts(images_encoded=2)


@pytest.mark.parametrize(
    ("kind", "made", "weights"),
    [
        ("dino", DinoMetric, "facebook/dino-vits16"),
        ("dinov2", Dinov2Metric, "facebook/dinov2-base"),
    ],
)
def test_a_spec_names_it(kind: str, made: type, weights: str) -> None:
    metric = parse_spec(f"{kind}?against=source", "metric").create("metric")
    assert isinstance(metric, made)
    assert (metric.name, metric.weights) == (kind, (weights,))
    assert metric.needs == {"edited", "source"}


def test_absent_weights_come_with_the_command() -> None:
    error = DinoMetric(DinoMetric.Settings(model="facebook/absent")).missing()
    assert error is not None
    assert error.command == "hf download facebook/absent"
