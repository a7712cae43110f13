import json
import shutil

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionImg2ImgPipeline
from safetensors.torch import load_file, save_file

from editloop.editors.pipelines import pictures_of
from editloop.editors.sdedit import SDEditEditor
from editloop.errors import RecipeError, StoreError, UnavailableError
from editloop.models.pipeline_loading import load_pipeline, model_index, weights_digest
from editloop.registry import parse_spec
from editloop.storage.files import Files, file_hash
from tiny_baselines import photo_request, save_stable_diffusion
from tiny_pipelines import tiny_unet

WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_stable_diffusion(tmp_path_factory.mktemp("sd"), tiny_unet(4))


@pytest.fixture
def copied(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "copy")


def editor(folder, **settings):
    return SDEditEditor(SDEditEditor.Settings(target=str(folder), **settings))


def loaded(folder):
    return load_pipeline(StableDiffusionImg2ImgPipeline, folder, "fp32")


def same(one, other, request=None) -> bool:
    asked = [request or photo_request()]
    return np.array_equal(one.edit(asked)[0], other.edit(asked)[0])


@pytest.mark.slow
def test_a_protocol_stands_in_for_what_is_not_set(folder) -> None:
    card = {"steps": 6, "size": {"long_side": 48}}
    asked = photo_request(settings=card)
    assert same(editor(folder), editor(folder, **card), asked)
    assert not same(editor(folder), editor(folder, steps=4), asked)
    assert same(editor(folder, steps=4), editor(folder, steps=4, size=card["size"]), asked)


def test_what_is_set_wins_over_the_protocol_even_where_it_is_the_default(folder) -> None:
    asked = photo_request(settings={"strength": 0.9, "steps": 4, "size": {"long_side": 48}})
    assert same(editor(folder, strength=0.5), editor(folder), photo_request())
    assert not same(editor(folder, strength=0.5), editor(folder), asked)


def test_a_protocol_s_other_settings_are_not_heeded(folder) -> None:
    asked = photo_request()
    others = {"image_guidance": 1.5, "target": "elsewhere", "precision": "bf16", "batch": 7}
    more = photo_request(settings={**asked.settings, **others})
    assert np.array_equal(*editor(folder).edit([asked, more]))


def test_requests_with_different_settings_go_together(folder) -> None:
    few, many = photo_request(), photo_request(settings={**photo_request().settings, "steps": 8})
    made = editor(folder)
    together = made.edit([few, many, few])
    assert np.array_equal(together[0], together[2])
    assert np.array_equal(together[1], made.edit([many])[0])
    assert not np.array_equal(together[0], together[1])


def test_a_protocol_s_bad_setting_names_the_key(folder) -> None:
    with pytest.raises(RecipeError, match="steps"):
        editor(folder).edit([photo_request(settings={"steps": 0})])


def test_the_size_can_be_written_in_a_spec(folder) -> None:
    """A SPEC such as `sdedit:FOLDER?steps=4&size=long_side:48`."""
    spec = parse_spec(f"sdedit:{folder}?steps=4&size=long_side:48", "editor")
    made = SDEditEditor(SDEditEditor.Settings.model_validate(spec.settings))
    assert same(made, editor(folder), photo_request())


def test_left_out_the_size_is_the_one_the_network_was_trained_for(folder) -> None:
    made = editor(folder)
    size = made.working_size(made._pipeline, 300, 600, made.Settings(target="anything"))
    assert size == (64, 64)  # a long side of 32, in multiples of 64


def test_sizes_are_multiples_that_the_autoencoder_takes(folder) -> None:
    made = editor(folder)
    settings = made.Settings(target="anything", size={"long_side": 45, "multiple": 5})
    assert made.working_size(made._pipeline, 90, 45, settings) == (50, 20)


def test_the_fingerprint_tells_weights_and_settings_apart(folder, copied) -> None:
    usual = editor(folder).fingerprint
    assert editor(copied).fingerprint == usual
    assert editor(folder, steps=20).fingerprint != usual
    # A protocol would stand in for steps here and not there.
    assert editor(folder, steps=50).fingerprint != usual
    save_file(
        {name: each + 1 for name, each in load_file(copied / "unet" / WEIGHTS).items()},
        copied / "unet" / WEIGHTS,
    )
    assert editor(copied).fingerprint != usual


def test_files_that_are_not_read_are_no_matter(folder, copied) -> None:
    (copied / "README.md").write_text("a card")
    (copied / "safety_checker").mkdir()
    (copied / "safety_checker" / "config.json").write_text("{}")
    (copied / "whole.safetensors").write_bytes(b"everything in one file")
    assert weights_digest(copied) == weights_digest(folder)


def test_in_the_hub_s_cache_a_large_file_is_known_by_its_name(folder, copied, tmp_path) -> None:
    weights = copied / "unet" / WEIGHTS
    blob = tmp_path / "blobs" / file_hash(Files(), weights)
    blob.parent.mkdir()
    weights.rename(blob)
    weights.symlink_to(blob)
    assert weights_digest(copied) == weights_digest(folder)
    blob.write_bytes(b"never looked at")
    assert weights_digest(copied) == weights_digest(folder)


def test_a_folder_without_a_pipeline_is_unavailable(tmp_path) -> None:
    with pytest.raises(UnavailableError, match=r"model_index\.json"):
        model_index(tmp_path)


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_weights_that_are_no_safetensors_are_unavailable(copied, part) -> None:
    for path in (copied / part).glob("*.safetensors"):
        torch.save(load_file(path), path.with_suffix(".bin"))
        path.unlink()
    with pytest.raises(UnavailableError, match="safetensors"):
        loaded(copied)


@pytest.mark.slow
@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_weights_that_are_not_whole_are_refused(copied, part) -> None:
    path = next((copied / part).glob("*.safetensors"))
    tensors = load_file(path)
    save_file(dict(list(tensors.items())[1:]), path, metadata={"format": "pt"})
    with pytest.raises(StoreError, match=r"tensors|incomplete"):
        loaded(copied)


def test_a_safety_checker_is_not_loaded(copied) -> None:
    index = json.loads((copied / "model_index.json").read_text())
    index["safety_checker"] = ["stable_diffusion", "StableDiffusionSafetyChecker"]
    index["feature_extractor"] = ["transformers", "CLIPImageProcessor"]
    (copied / "model_index.json").write_text(json.dumps(index))
    assert loaded(copied).safety_checker is None


@pytest.mark.skipif(torch.cuda.is_available(), reason="fp16 works on a GPU")
def test_fp16_without_a_gpu_is_refused(folder) -> None:
    with pytest.raises(RecipeError, match="precision=bf16"):
        editor(folder, precision="fp16").edit([photo_request()])


def test_values_that_are_no_numbers_are_no_picture() -> None:
    assert np.asarray(pictures_of(np.full((1, 2, 2, 3), 0.5))[0]).tolist() == [[[128] * 3] * 2] * 2
    with pytest.raises(RecipeError, match="precision=fp32"):
        pictures_of(np.full((1, 2, 2, 3), np.nan))


def test_loading_leaves_the_libraries_settings_alone(folder) -> None:
    from diffusers.utils import logging

    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    editor(folder).edit([photo_request()])
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before
