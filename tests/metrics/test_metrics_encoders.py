"""Descriptions of encoders: weights, preprocessing, precision, and errors for missing files."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from editloop.errors import RecipeError, UnavailableError
from editloop.metrics.encoders import ImageModel, missing
from editloop.metrics.networks import Network, Tokens
from editloop.metrics.views import View
from tiny_encoders import save_clip

CLIP = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.fixture
def copied(clip_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(clip_folder, tmp_path / "copy"))


def test_a_key_is_of_the_content_and_not_of_the_place(clip_folder: Path, copied: Path) -> None:
    assert ImageModel(str(clip_folder)).key == ImageModel(str(copied)).key


@pytest.mark.parametrize("file", ["model.safetensors", "tokenizer.json", "config.json"])
def test_a_key_changes_with_any_file_of_the_model(copied: Path, file: str) -> None:
    before = ImageModel(str(copied)).key
    with (copied / file).open("ab") as opened:
        opened.write(b" ")
    assert ImageModel(str(copied)).key != before


def test_a_key_changes_with_precision_and_crop(clip_folder: Path) -> None:
    model = ImageModel(str(clip_folder))
    others = [replace(model, precision="bf16"), replace(model, crop="none")]
    assert len({each.key for each in [model, *others]}) == 3


def test_a_snapshot_of_the_hub_is_known_by_its_revision(clip_folder: Path, tmp_path: Path) -> None:
    def snapshot(revision: str) -> ImageModel:
        folder = tmp_path / "models--a--b" / "snapshots" / revision
        return ImageModel(str(shutil.copytree(clip_folder, folder)))

    first, second = snapshot("a" * 40), snapshot("b" * 40)
    assert first.key != second.key
    (first.folder / "README.txt").write_text("a file more, the same revision")
    assert first.key == replace(first).key


def test_sizes_and_means_are_the_models_own(clip_folder: Path, dino_folder: Path) -> None:
    assert ImageModel(str(clip_folder)).view == View(32, 32, *CLIP)
    assert ImageModel(str(dino_folder), "dino").view == View(32, 36, *IMAGENET)


def test_dinov2_crops_what_its_configuration_says(dinov2_folder: Path) -> None:
    model = ImageModel(str(dinov2_folder), "dinov2")
    assert model.view == View(35, 40, *IMAGENET)
    assert replace(model, crop="nearest").view == View(42, 42, crop="nearest")


def test_an_old_configuration_states_plain_numbers(copied: Path) -> None:
    stated = {"size": 40, "crop_size": 28, "image_mean": [0.1, 0.2, 0.3], "image_std": [1, 2, 3]}
    (copied / "preprocessor_config.json").write_text(json.dumps(stated))
    assert ImageModel(str(copied)).view == View(28, 40, (0.1, 0.2, 0.3), (1, 2, 3))


def test_a_new_configuration_lies_in_the_processors_file(copied: Path) -> None:
    stated = json.loads((copied / "preprocessor_config.json").read_text())
    (copied / "preprocessor_config.json").unlink()
    stated = {"image_processor": {**stated, "size": {"shortest_edge": 48}}}
    (copied / "processor_config.json").write_text(json.dumps(stated))
    assert ImageModel(str(copied)).view == View(32, 48, *CLIP)


def test_without_a_configuration_the_releases_rule_holds(copied: Path) -> None:
    (copied / "preprocessor_config.json").unlink()
    assert ImageModel(str(copied)).view == View(32, 32, *CLIP)


def test_absent_weights_come_with_the_command(clip_folder: Path) -> None:
    here, absent = ImageModel(str(clip_folder)), ImageModel("openai/no-such-clip")
    assert missing([here]) is None
    error = missing([here, absent])
    assert error is not None
    assert error.command == "hf download openai/no-such-clip"


def test_a_folder_without_a_model_is_no_model(tmp_path: Path) -> None:
    error = missing([ImageModel(str(tmp_path))])
    assert error is not None
    assert "holds no model" in error.cause


def test_a_model_of_another_kind_is_refused(dino_folder: Path) -> None:
    with pytest.raises(RecipeError, match="not a clip model"):
        _ = ImageModel(str(dino_folder), "clip").view


def test_weights_that_lack_a_part_are_refused_and_not_made_up(copied: Path) -> None:
    tensors = load_file(copied / "model.safetensors")
    del tensors["visual_projection.weight"]
    save_file(tensors, copied / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UnavailableError, match=r"1 missing, such as visual_projection\.weight"):
        Network(ImageModel(str(copied)))


def test_weights_cut_short_are_refused_with_their_name(copied: Path) -> None:
    data = (copied / "model.safetensors").read_bytes()
    (copied / "model.safetensors").write_bytes(data[: len(data) // 2])
    with pytest.raises(UnavailableError, match=r"cannot read the files.*copy"):
        Network(ImageModel(str(copied)))


def test_a_model_without_a_tokenizer_is_refused(copied: Path) -> None:
    """Transformers would make an empty one, which gives all texts the same ids."""
    (copied / "tokenizer.json").unlink()
    with pytest.raises(UnavailableError, match=r"has no tokenizer.*copy"):
        Tokens(ImageModel(str(copied)))


def test_a_tokenizer_cut_short_is_refused(copied: Path) -> None:
    data = (copied / "tokenizer.json").read_bytes()
    (copied / "tokenizer.json").write_bytes(data[: len(data) // 2])
    with pytest.raises(UnavailableError, match=r"cannot read the files.*copy"):
        Tokens(ImageModel(str(copied)))


def test_describing_a_metric_loads_no_framework() -> None:
    code = (
        "import sys\n"
        "from editloop.registry import parse_spec\n"
        "for spec in ('clip:text', 'dino', 'dinov2', 'pixels:l1'):\n"
        "    made = parse_spec(spec, 'metric').create('metric')\n"
        "    assert made.needs\n"
        "print('torch' in sys.modules, 'transformers' in sys.modules)\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.split() == ["False", "False"]


def test_other_weights_give_other_keys(clip_folder: Path, tmp_path: Path) -> None:
    other = save_clip(tmp_path / "other", seed=1)
    assert ImageModel(str(clip_folder)).key != ImageModel(str(other)).key
