"""Saved models load in plain diffusers, with equal predictions."""

import json

import pytest
import torch
from diffusers import (
    FluxKontextPipeline,
    StableDiffusion3Pipeline,
    StableDiffusionInstructPix2PixPipeline,
    StableDiffusionXLInstructPix2PixPipeline,
    UNet2DConditionModel,
)
from safetensors import safe_open

from editloop.models.backbones.saving import save_diffusion_model
from tiny_models import LORA, answer, base, learned, model_of

pytestmark = pytest.mark.slow

EDITORS = {
    "sd": StableDiffusionInstructPix2PixPipeline,
    "sdxl": StableDiffusionXLInstructPix2PixPipeline,
}
LORA_FILE = "pytorch_lora_weights.safetensors"


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    return tmp_path_factory.mktemp("bases")


def answer_of(model, network):
    """Return the prediction of a diffusers network in place of the model's own."""
    denoiser = model.denoiser
    if hasattr(denoiser, "conditioned"):
        denoiser.conditioned.unet = network
    else:
        denoiser.transformer = network
    assert model.network is network
    return answer(model)


@pytest.mark.parametrize("name", ["sd", "sdxl"])
def test_a_saved_pipeline_answers_the_same_in_diffusers(bases, tmp_path, name) -> None:
    model = learned(model_of(bases, name))
    expected = answer(model)
    save_diffusion_model(model, tmp_path, {})
    pipeline = EDITORS[name].from_pretrained(tmp_path, local_files_only=True)
    assert torch.equal(answer_of(model, pipeline.unet), expected)


def test_a_network_with_a_mask_and_rewards_is_still_diffusers_unet(bases, tmp_path) -> None:
    model = learned(model_of(bases, "sd", "mask", "paper"))
    save_diffusion_model(model, tmp_path, {})
    unet = UNet2DConditionModel.from_pretrained(tmp_path / "unet")
    assert unet.config.in_channels == 12
    loaded, own = unet.state_dict(), model.network.state_dict()
    assert all(torch.equal(loaded[name], own[name]) for name in own)


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("sd-edit", StableDiffusionInstructPix2PixPipeline),
        ("sdxl-edit", StableDiffusionXLInstructPix2PixPipeline),
        ("flux-kontext", FluxKontextPipeline),
    ],
)
def test_adapters_answer_the_same_in_diffusers(bases, tmp_path, name, made) -> None:
    model = learned(model_of(bases, name, lora=LORA))
    expected = answer(model)
    save_diffusion_model(model, tmp_path, {})
    pipeline = made.from_pretrained(base(bases, name), local_files_only=True)
    network = getattr(pipeline, model.family.part)
    before = answer_of(model_of(bases, name, trained=False), network)
    pipeline.load_lora_weights(tmp_path)
    adapted = answer_of(model_of(bases, name, trained=False), network)
    torch.testing.assert_close(adapted, expected, atol=1e-6, rtol=1e-5)
    assert not torch.allclose(adapted, before, atol=1e-3)


def test_adapters_of_sd3_are_read_by_diffusers(bases, tmp_path) -> None:
    model = learned(model_of(bases, "sd3", lora=LORA))
    save_diffusion_model(model, tmp_path, {})
    layers = StableDiffusion3Pipeline.lora_state_dict(tmp_path)
    own = {name for name, _ in model.network.named_parameters() if "lora_" in name}
    assert {f"transformer.{name.replace('.default', '')}" for name in own} == set(layers)


def test_a_file_of_adapters_tells_their_rank_and_scale(bases, tmp_path) -> None:
    save_diffusion_model(model_of(bases, "flux-kontext", lora=LORA), tmp_path, {})
    with safe_open(tmp_path / LORA_FILE, framework="pt") as file:
        told = json.loads(file.metadata()["lora_adapter_metadata"])
    assert told["transformer.r"] == LORA.rank
    assert told["transformer.lora_alpha"] == LORA.alpha
    assert told["transformer.target_modules"] == sorted(told["transformer.target_modules"])


@pytest.mark.parametrize("lora", [None, LORA])
def test_equal_models_give_equal_bytes(bases, tmp_path, lora) -> None:
    written = []
    for place in (tmp_path / "a", tmp_path / "b"):
        save_diffusion_model(model_of(bases, "sd", "mask", "paper", lora=lora), place, {"steps": 1})
        files = sorted(path for path in place.rglob("*") if path.is_file())
        written.append({path.relative_to(place): path.read_bytes() for path in files})
    assert written[0] == written[1]


def test_no_safety_checker_is_left_in_a_saved_pipeline(bases, tmp_path) -> None:
    save_diffusion_model(model_of(bases, "sd"), tmp_path, {})
    index = json.loads((tmp_path / "model_index.json").read_text())
    assert index["safety_checker"] == [None, None]
