"""Checkpoints: loading, refusals and fingerprints."""

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionInstructPix2PixPipeline
from safetensors.torch import load_file, save_file

from editloop.editors.diffusion import DiffusionEditor, DiffusionSettings
from editloop.errors import RecipeError, StoreError, UnavailableError
from editloop.hub import weights
from editloop.registry import parse_spec
from editloop.runtime.seeding import generator
from editloop.schema import EditRequest
from tiny_original import original_state
from tiny_pipelines import save_instruct_pix2pix

WEIGHTS = {
    "unet": "diffusion_pytorch_model.safetensors",
    "vae": "diffusion_pytorch_model.safetensors",
    "text_encoder": "model.safetensors",
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return save_instruct_pix2pix(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def folder(whole, tmp_path):
    """Return a copy that a test may damage."""
    return Path(shutil.copytree(whole, tmp_path / "copy"))


def editor(target, **settings):
    return DiffusionEditor(DiffusionSettings(target=str(target), **settings))


def request():
    pixels = generator("picture").integers(0, 256, (32, 32, 3), dtype=np.uint8)
    return EditRequest(id="0", image=pixels, instruction="make it red")


def answer(target, **settings):
    return editor(target, steps=2, **settings).edit([request()])[0]


def rewrite(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


# Names


@pytest.mark.slow
def test_a_hub_name_is_found_in_the_local_cache(whole, tmp_path, monkeypatch) -> None:
    cache = tmp_path / "models--someone--editor"
    (cache / "refs").mkdir(parents=True)
    (cache / "refs" / "main").write_text("abc123")
    shutil.copytree(whole, cache / "snapshots" / "abc123")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    made = editor("someone/editor", steps=2)
    assert made.missing() is None
    assert made.weights == ("someone/editor",)
    assert np.array_equal(made.edit([request()])[0], answer(whole))
    assert made.fingerprint == editor(whole, steps=2).fingerprint


def test_a_hub_name_that_is_not_here_is_unavailable_with_the_command() -> None:
    made = editor("nobody/such-an-editor")
    assert made.missing().command == "hf download nobody/such-an-editor"
    with pytest.raises(UnavailableError, match="hf download nobody/such-an-editor"):
        made.edit([request()])


@pytest.mark.parametrize("target", ["models/plain", "runs/x/models/plain", "/nowhere/at/all"])
def test_a_folder_that_training_would_fill_names_training(target) -> None:
    assert editor(target).missing().command == "editloop run RECIPE --only build --only train"


def test_a_bare_folder_is_a_diffusion_editor(whole) -> None:
    made = parse_spec(str(whole), "editor").create("editor")
    assert isinstance(made, DiffusionEditor)
    assert made.missing() is None
    assert not made.uses_mask


# Refusals


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("StableDiffusionPipeline", "sdedit:"),
        ("StableDiffusionXLPipeline", r"ledits\+\+:"),
        ("StableDiffusionInpaintPipeline", "inpaint:"),
        ("StableDiffusion3Pipeline", "editloop train"),
        ("QwenImageEditPipeline", "qwen-image-edit:"),
        ("PixArtAlphaPipeline", "StableDiffusionXLInstructPix2PixPipeline"),
    ],
)
def test_other_pipelines_are_refused_with_what_they_are_good_for(folder, name, words) -> None:
    rewrite(folder / "model_index.json", _class_name=name)
    with pytest.raises(RecipeError, match=f"(?s){name}.*{words}"):
        editor(folder).edit([request()])


@pytest.mark.parametrize(
    ("channels", "words"), [(4, "from text"), (9, "InstructPix2Pix family"), (16, "16 input")]
)
def test_a_network_of_other_input_channels_is_refused(folder, channels, words) -> None:
    rewrite(folder / "unet" / "config.json", in_channels=channels)
    with pytest.raises(RecipeError, match=words):
        editor(folder).edit([request()])


@pytest.mark.parametrize("setting", [{"reward": (5, 5, 5)}, {"reward_text": "bad;None;None"}])
def test_rewards_for_a_checkpoint_without_them_are_refused(whole, setting) -> None:
    with pytest.raises(RecipeError, match="trained without rewards"):
        answer(whole, **setting)


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path) -> None:
    (tmp_path / "photo.png").write_bytes(b"")
    with pytest.raises(RecipeError, match=r"\.safetensors or \.ckpt"):
        editor(tmp_path / "photo.png").edit([request()])


# Incomplete weights


@pytest.mark.parametrize("part", WEIGHTS)
def test_weights_that_are_absent_are_unavailable(folder, part) -> None:
    (folder / part / WEIGHTS[part]).unlink()
    assert "no weights" in editor(folder).missing().cause


@pytest.mark.parametrize("part", WEIGHTS)
def test_nothing_random_stands_in_for_a_tensor_that_is_absent(folder, part) -> None:
    path = folder / part / WEIGHTS[part]
    tensors = load_file(path)
    tensors.pop(sorted(tensors)[3])
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(StoreError, match=r"download .* again"):
        answer(folder)


@pytest.mark.parametrize("part", WEIGHTS)
def test_a_file_that_breaks_off_is_named(folder, part) -> None:
    path = folder / part / WEIGHTS[part]
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises((StoreError, UnavailableError), match=str(folder)):
        answer(folder)


def test_values_that_are_no_numbers_are_no_picture(folder) -> None:
    path = folder / "unet" / WEIGHTS["unet"]
    tensors = load_file(path)
    tensors["conv_in.bias"][0] = torch.nan
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(RecipeError, match="values overflow"):
        answer(folder)


def test_weights_as_pickles_are_not_loaded(folder) -> None:
    path = folder / "unet" / WEIGHTS["unet"]
    torch.save(load_file(path), path.with_suffix(".bin"))
    path.unlink()
    with pytest.raises(UnavailableError, match="safetensors form"):
        answer(folder)


@pytest.mark.parametrize("said", ["{", "[1]"])
def test_a_configuration_that_cannot_be_read_is_named(folder, said) -> None:
    (folder / "unet" / "config.json").write_text(said)
    with pytest.raises(StoreError, match=r"unet.config\.json"):
        answer(folder)


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json"])
def test_a_tokenizer_is_whole_or_refused(folder, name) -> None:
    (folder / "tokenizer" / name).unlink()
    with pytest.raises(StoreError, match="a tokenizer's files are incomplete"):
        answer(folder)


@pytest.mark.parametrize("said", ["[]", "{}"])
def test_parts_that_are_nonsense_are_refused(folder, said) -> None:
    (folder / "tokenizer" / "tokenizer.json").write_text(said)
    with pytest.raises(StoreError, match="parts cannot be read"):
        answer(folder)


@pytest.mark.parametrize(("steps", "skip"), [(1, False), (1000, True)])
def test_steps_that_a_sampler_cannot_take_are_named(folder, steps, skip) -> None:
    rewrite(folder / "scheduler" / "scheduler_config.json", skip_prk_steps=skip)
    with pytest.raises(RecipeError, match=f"PNDMScheduler does not support .*steps: {steps}"):
        editor(folder, steps=steps).edit([request()])


@pytest.mark.parametrize("said", [b"", b"{", b"[1]", b"\x80\x04"])
def test_an_index_that_cannot_be_read_is_named(folder, said) -> None:
    (folder / "model_index.json").write_bytes(said)
    with pytest.raises(StoreError, match=r"index cannot be read.*model_index\.json"):
        answer(folder)


# One original file


@pytest.fixture(scope="module")
def state(whole):
    pipeline = StableDiffusionInstructPix2PixPipeline.from_pretrained(whole, safety_checker=None)
    return original_state(pipeline)


@pytest.fixture
def config(folder):
    """A folder that only describes the networks."""
    for part, name in WEIGHTS.items():
        (folder / part / name).unlink()
    return folder


@pytest.mark.slow
def test_an_original_safetensors_file_edits_as_its_converted_folder(
    whole, state, config, tmp_path
) -> None:
    save_file(state, tmp_path / "model.safetensors")
    made = answer(tmp_path / "model.safetensors", config=str(config))
    assert np.array_equal(made, answer(whole))


@pytest.mark.slow
def test_an_original_ckpt_of_tensors_edits_too(whole, state, config, tmp_path) -> None:
    torch.save({"state_dict": state, "global_step": 3}, tmp_path / "model.ckpt")
    assert np.array_equal(answer(tmp_path / "model.ckpt", config=str(config)), answer(whole))


class Trap:
    """A malicious object: unpickling it would create a folder."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.mkdir, (self.path,))


def test_a_ckpt_that_holds_code_is_refused_and_nothing_runs(state, config, tmp_path) -> None:
    trap = Trap(tmp_path / "sprung")
    pickle.loads(pickle.dumps(trap))  # the attack works with plain pickle
    assert (tmp_path / "sprung").is_dir()
    (tmp_path / "sprung").rmdir()
    torch.save({"state_dict": state, "callbacks": trap}, tmp_path / "model.ckpt")
    with pytest.raises(RecipeError, match="tensors alone"):
        answer(tmp_path / "model.ckpt", config=str(config))
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    "name",
    [
        "model.diffusion_model.input_blocks.1.0.in_layers.2.weight",
        "first_stage_model.quant_conv.bias",
        "cond_stage_model.transformer.text_model.final_layer_norm.weight",
    ],
)
def test_an_original_file_that_lacks_a_tensor_is_refused(state, config, tmp_path, name) -> None:
    save_file({key: state[key] for key in state if key != name}, tmp_path / "model.safetensors")
    with pytest.raises(RecipeError, match="not of the family"):
        answer(tmp_path / "model.safetensors", config=str(config))


@pytest.mark.parametrize(
    ("start", "part"),
    [("cond_stage_model.", "text encoder"), ("first_stage_model.", "autoencoder")],
)
def test_an_original_file_without_a_part_is_refused_by_its_name(
    state, config, tmp_path, start, part
) -> None:
    kept = {key: state[key] for key in state if not key.startswith(start)}
    save_file(kept, tmp_path / "model.safetensors")
    with pytest.raises(RecipeError, match=f"holds no {part}"):
        answer(tmp_path / "model.safetensors", config=str(config))


def test_an_original_file_needs_what_describes_it(state, tmp_path) -> None:
    save_file(state, tmp_path / "model.safetensors")
    missing = editor(tmp_path / "model.safetensors").missing()
    assert missing.command == "hf download timbrooks/instruct-pix2pix"


def test_an_original_file_that_is_not_there_is_unavailable(tmp_path) -> None:
    assert "no such file" in editor(tmp_path / "model.ckpt").missing().cause


# Fingerprints


def test_where_the_folder_lies_is_no_matter(whole, folder) -> None:
    assert editor(whole).fingerprint == editor(folder).fingerprint


def test_other_weights_are_another_fingerprint(whole, tmp_path) -> None:
    save_instruct_pix2pix(tmp_path, seed=1)
    assert editor(whole).fingerprint != editor(tmp_path).fingerprint


@pytest.mark.parametrize(
    "setting",
    [
        {"steps": 4},
        {"text_guidance": 3.0},
        {"image_guidance": 2.0},
        {"scheduler": "ddim"},
        {"precision": "bf16"},
        {"size": {"long_side": 64}},
    ],
)
def test_other_settings_are_another_fingerprint(whole, setting) -> None:
    assert editor(whole).fingerprint != editor(whole, **setting).fingerprint


def test_a_default_that_is_set_differs_from_one_left_open_to_a_card(whole) -> None:
    assert editor(whole, steps=20).fingerprint != editor(whole).fingerprint


def test_an_original_files_fingerprint_follows_its_bytes(state, config, tmp_path) -> None:
    path = tmp_path / "model.safetensors"
    save_file(state, path)
    before = editor(path, config=str(config)).fingerprint
    save_file({name: 2 * tensor for name, tensor in state.items()}, path)
    assert editor(path, config=str(config)).fingerprint != before


def test_weights_are_read_once_while_they_stay(folder, monkeypatch) -> None:
    before = editor(folder).fingerprint
    monkeypatch.setattr(weights, "file_hash", lambda *_: pytest.fail("read again"))
    assert editor(folder).fingerprint == before
    path = folder / "unet" / WEIGHTS["unet"]
    path.write_bytes(path.read_bytes()[::-1])
    monkeypatch.undo()
    assert editor(folder).fingerprint != before
