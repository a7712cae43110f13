"""The MagicBrush protocol against its released evaluator's rules, reimplemented.

The expected numbers are computed from the protocol text with numpy, Pillow and the networks.
"""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from transformers import CLIPModel, CLIPTokenizer, ViTModel

from editloop.errors import EditLoopError
from editloop.evaluation.comparing.compare import compare_runs
from editloop.evaluation.evaluate import evaluate
from evaluation_cards import own_card
from magicbrush_data import SIZE, TURNS, make_outputs, make_split, picture
from sized_editors import Unchanging
from tiny_encoders import SIDE, save_clip, save_dino

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
Pair = tuple[Path, Path]  # generated, ground truth


class World:
    """A split, outputs for it, and a card that names tiny encoders."""

    def __init__(self, folder: Path) -> None:
        self.data = make_split(folder / "data")
        self.outputs = make_outputs(folder / "outputs")
        self.clip, self.dino = save_clip(folder / "clip"), save_dino(folder / "dino")
        metrics = yaml.safe_load(own_card(folder).read_text())["metrics"]
        for metric in metrics.values():
            if "model" in metric:
                metric["model"] = str(self.dino if metric["kind"] == "dino" else self.clip)
        self.card = own_card(folder, metrics=metrics)

    def pairs(self, benchmark: str) -> list[Pair]:
        """The pairs that the released evaluator makes of the two folders."""
        found = []
        for index, turns in enumerate(TURNS):
            session = str(100 + index)
            made = self.outputs / session
            truth = self.data / "images" / session
            last = f"_iter_{turns}" if turns > 1 else "_1"
            names = {turn: f"_inde_{turn}" if turn > 1 else "_1" for turn in range(1, turns + 1)}
            if benchmark == "final-turn":
                names = {turns: last}
            found += [
                (made / f"{session}{name}.png", truth / f"{session}-output{turn}.png")
                for turn, name in names.items()
            ]
        return found

    def caption(self, truth: Path) -> str:
        captions = json.loads((self.data / "local_descriptions.json").read_text())
        return captions[truth.parent.name][truth.name]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world"))


def opened(path: Path) -> Image.Image:
    return Image.open(path).convert("RGB")


def values(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(np.float64) / 255


def distance(power: int) -> Callable[[World, Path, Path], float]:
    def measured(_: World, generated: Path, truth: Path) -> float:
        target = opened(truth)
        made = opened(generated).resize(target.size)
        return float((np.abs(values(made) - values(target)) ** power).mean())

    return measured


def tensor(path: Path, mean: tuple, std: tuple, resized: int) -> torch.Tensor:
    image = opened(path)
    scale = resized / min(image.size)
    image = image.resize([int(side * scale) for side in image.size], Image.Resampling.BICUBIC)
    left, top = (round((side - SIDE) / 2.0) for side in image.size)
    image = image.crop((left, top, left + SIDE, top + SIDE))
    normal = (values(image) - np.array(mean)) / np.array(std)
    return torch.from_numpy(normal).float().permute(2, 0, 1)[None]


def cosine(first: torch.Tensor, second: torch.Tensor) -> float:
    a, b = first.double().flatten(), second.double().flatten()
    return float(a @ b / (a.norm() * b.norm()))


@torch.inference_mode()
def clip_image(world: World, path: Path) -> torch.Tensor:
    model = CLIPModel.from_pretrained(world.clip).eval()
    return model.get_image_features(tensor(path, *CLIP_MEAN, SIDE)).pooler_output


@torch.inference_mode()
def dino_image(world: World, path: Path) -> torch.Tensor:
    model = ViTModel.from_pretrained(world.dino, add_pooling_layer=False).eval()
    made = tensor(path, *IMAGENET, SIDE * 8 // 7)
    return model(pixel_values=made).last_hidden_state[:, 0]


@torch.inference_mode()
def clip_text(world: World, text: str) -> torch.Tensor:
    model = CLIPModel.from_pretrained(world.clip).eval()
    tokens = CLIPTokenizer.from_pretrained(world.clip)([text], return_tensors="pt")
    return model.get_text_features(**tokens).pooler_output


EXPECTED = {
    "l1": (distance(1), 1e-7),
    "l2": (distance(2), 1e-7),
    "clip_i": (lambda w, made, gt: cosine(clip_image(w, made), clip_image(w, gt)), 1e-5),
    "dino": (lambda w, made, gt: cosine(dino_image(w, made), dino_image(w, gt)), 1e-5),
    "clip_t": (lambda w, made, gt: cosine(clip_image(w, made), clip_text(w, w.caption(gt))), 1e-5),
}


@pytest.fixture(scope="module")
def results(world: World, tmp_path_factory: pytest.TempPathFactory) -> dict:
    out = tmp_path_factory.mktemp("out")
    return evaluate(world.card, world.data, [f"mine=recorded:{world.outputs}"], out)


@pytest.mark.slow
@pytest.mark.parametrize("metric", EXPECTED)
@pytest.mark.parametrize("benchmark", ["all-turns", "final-turn"])
def test_recorded_outputs_score_as_the_released_evaluator_has_it(
    world: World, results: dict, benchmark: str, metric: str
) -> None:
    measure, tolerance = EXPECTED[metric]
    pairs = world.pairs(benchmark)
    expected = np.mean([measure(world, *pair) for pair in pairs])
    found = results["evaluation"][f"magicbrush/{benchmark}"]["mine"][metric]
    assert found["mean"] == pytest.approx(expected, abs=tolerance)
    assert (found["count"], found["coverage"]) == (len(pairs), 1)


def test_outputs_of_another_size_are_resized_to_the_truth(world: World, tmp_path: Path) -> None:
    outputs = make_outputs(tmp_path / "outputs", size=SIZE - 7)
    out = evaluate("magicbrush", world.data, [f"mine=recorded:{outputs}"], tmp_path, metrics=["l1"])
    world_of_other = World.__new__(World)
    world_of_other.data, world_of_other.outputs = world.data, outputs
    pairs = world_of_other.pairs("all-turns")
    expected = np.mean([distance(1)(world, *pair) for pair in pairs])
    found = out["evaluation"]["magicbrush/all-turns"]["mine"]["l1"]["mean"]
    assert found == pytest.approx(expected, abs=1e-7)
    assert picture("x", SIZE - 7).shape != picture("x").shape


@pytest.mark.slow
def test_a_live_editors_pictures_score_as_the_released_script_has_them(
    world: World, tmp_path: Path
) -> None:
    """They are saved, chained and measured at the working size, as by MagicBrush's own script."""
    data = make_split(tmp_path / "data", size=200)
    size = "long_side:64,multiple:64,rounding:instruct-pix2pix"
    editor = f"mine=python:sized_editors:Unchanging?target={tmp_path}&size={size}"
    Unchanging.asked.clear()
    found = evaluate(world.card, data, [editor], tmp_path / "out")["evaluation"]
    made = World.__new__(World)
    made.data, made.outputs = data, tmp_path / "out" / "evaluation" / "card" / "mine"
    made.clip, made.dino = world.clip, world.dino
    for benchmark in ("all-turns", "final-turn"):
        pairs = made.pairs(benchmark)
        assert {opened(generated).size for generated, _ in pairs} == {(64, 64)}
        for name, (measure, tolerance) in EXPECTED.items():
            expected = np.mean([measure(made, *pair) for pair in pairs])
            mean = found[f"magicbrush/{benchmark}"]["mine"][name]["mean"]
            assert mean == pytest.approx(expected, abs=tolerance), (benchmark, name)
    last, first = (made.outputs / "101" / name for name in ("101_iter_3.png", "101_1.png"))
    assert last.read_bytes() == first.read_bytes()  # three turns of an editor that changes nothing
    seeds = {request.seed for request in Unchanging.asked}
    assert len(seeds) == 1


@pytest.mark.slow
def test_runs_with_other_weights_of_one_name_are_not_compared(world: World, tmp_path: Path) -> None:
    editors = [f"mine=recorded:{world.outputs}"]
    for name, seed in (("one", 0), ("two", 1)):
        save_clip(world.clip, seed=seed)
        evaluate(world.card, world.data, editors, tmp_path / name, metrics=["clip_i"])
    save_clip(world.clip)
    with pytest.raises(EditLoopError, match="clip_i"):
        compare_runs([tmp_path / "one", tmp_path / "two"])
