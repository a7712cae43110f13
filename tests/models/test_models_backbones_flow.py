"""Stable Diffusion 3 and FLUX Kontext compared with diffusers' own pipelines."""

import json

import pytest
import torch
from diffusers import (
    FlowMatchEulerDiscreteScheduler,
    FluxKontextPipeline,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
)
from PIL import Image

from editloop.models.backbones.base_loading import load_base, load_trained
from editloop.models.backbones.base_request import Wanted
from editloop.models.backbones.sampling import denoised
from editloop.models.backbones.saving import save_diffusion_model
from editloop.models.guidance import branches
from editloop.models.inputs import EditInputs
from editloop.models.pipeline_loading import load_pipeline
from tiny_models import LORA, answer, base, inputs_for, learned, model_of, pictures

pytestmark = pytest.mark.slow

STEPS = 3
SHIFTS = [False, True]  # whether the noise levels depend on the picture's size


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    return tmp_path_factory.mktemp("bases")


def scheduled(folder, dynamic):
    FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=dynamic).save_pretrained(
        folder / "scheduler"
    )
    return folder


@pytest.mark.parametrize("dynamic", SHIFTS)
def test_flux_edits_as_diffusers_pipeline_does(tmp_path, dynamic) -> None:
    folder = scheduled(base(tmp_path, "flux-kontext"), dynamic)
    pipeline = load_pipeline(FluxKontextPipeline, folder, "fp32")
    source = pictures(count=1)
    noise = torch.randn(1, 4, 16, 8, generator=torch.Generator().manual_seed(4))
    expected = pipeline(
        image=Image.fromarray(source[0].numpy()),
        prompt="make it red",
        height=32,
        width=16,
        max_area=512,
        num_inference_steps=STEPS,
        guidance_scale=2.5,
        latents=pipeline._pack_latents(noise, 1, 4, 16, 8),
        output_type="latent",
        _auto_resize=False,
    ).images
    model = load_base(str(folder), Wanted(trained=False))
    found = denoised(
        model,
        EditInputs(model.shown(source), model.texts.ids(["make it red"])),
        [torch.Generator().manual_seed(4)],
        scheduler=model.scheduler,
        steps=STEPS,
        chosen=branches(1.0, 1.0),
    )
    unpacked = pipeline._unpack_latents(expected, 32, 16, 2)
    torch.testing.assert_close(found, unpacked, atol=1e-5, rtol=1e-5)


def test_flux_hears_its_guidance_and_learns_at_one(bases) -> None:
    model = model_of(bases, "flux-kontext", trained=False)
    inputs = inputs_for(model)
    noisy, timestep = torch.zeros_like(inputs.source), torch.full((2,), 500.0)
    with torch.no_grad():
        usual, one, high = (
            model.denoiser(noisy, timestep, model.given(inputs, scale))
            for scale in (None, 1.0, 4.0)
        )
    assert torch.equal(usual, one)
    assert not torch.allclose(one, high, atol=1e-4)


def test_flux_tells_the_source_from_the_noise(bases) -> None:
    model = model_of(bases, "flux-kontext", trained=False)
    inputs = inputs_for(model)
    other = inputs.with_({"source": inputs.source.flip(2)})
    assert not torch.allclose(answer(model, inputs), answer(model, other), atol=1e-4)


@pytest.mark.parametrize("dynamic", SHIFTS)
def test_sd3_takes_the_steps_of_diffusers_pipeline(tmp_path, dynamic) -> None:
    folder = scheduled(base(tmp_path, "sd3"), dynamic)
    pipeline = load_pipeline(StableDiffusion3Pipeline, folder, "fp32")
    pipeline("", height=32, width=16, num_inference_steps=STEPS, output_type="latent")
    model = load_base(str(folder), Wanted())
    model.start(model.scheduler, STEPS, 32, 16)
    assert torch.equal(model.scheduler.timesteps, pipeline.scheduler.timesteps)
    assert torch.equal(model.scheduler.sigmas, pipeline.scheduler.sigmas)


def test_sd3_reads_the_noisy_latents_then_the_source_then_the_mask(bases) -> None:
    model = learned(model_of(bases, "sd3", "mask"))
    inputs = inputs_for(model)
    noisy = torch.randn(inputs.source.shape, generator=torch.Generator().manual_seed(9))
    text = model.texts.states(inputs.text)
    with torch.no_grad():
        plain = model.network(
            torch.cat([noisy, inputs.source, inputs.mask], dim=1),
            encoder_hidden_states=text.hidden,
            pooled_projections=text.pooled,
            timestep=torch.tensor([300.0, 800.0]),
        ).sample
    assert torch.equal(answer(model, inputs), plain)


def test_sd3_is_saved_as_a_pipeline_that_diffusers_reads(bases, tmp_path) -> None:
    model = learned(model_of(bases, "sd3"))
    save_diffusion_model(model, tmp_path, {})
    index = json.loads((tmp_path / "model_index.json").read_text())
    assert index["_class_name"] == "StableDiffusion3InstructPix2PixPipeline"
    network = SD3Transformer2DModel.from_pretrained(tmp_path / "transformer")
    assert (network.config.in_channels, network.config.out_channels) == (8, 4)
    model.denoiser.transformer, expected = network, answer(model)
    assert torch.equal(answer(model), expected)


@pytest.mark.parametrize("trained_here", [False, True])
def test_sd3_is_shown_its_source_as_it_learned_it(bases, tmp_path, trained_here) -> None:
    """UltraEdit's release has the class of models saved here, but unscaled sources."""
    model = model_of(bases, "sd3")
    save_diffusion_model(model, tmp_path, {})
    if not trained_here:
        (tmp_path / "editloop.json").unlink()
    loaded = load_base(str(tmp_path), Wanted())
    mean = model.autoencoder.posterior(pictures()).mean
    expected = (mean - 0.0609) * 1.5035 if trained_here else mean
    torch.testing.assert_close(loaded.shown(pictures()), expected)
    scaled = loaded.autoencoder.learned(mean)
    torch.testing.assert_close(scaled, expected if trained_here else mean * 1.5035)
    assert loaded.texts.ids([""]).shape == (1, 77 + 77 + (256 if trained_here else 77))
    save_diffusion_model(loaded, tmp_path / "again", {})
    again = load_trained(tmp_path / "again")
    assert again.autoencoder.scales_sources == again.autoencoder.shifts == trained_here


@pytest.mark.parametrize("name", ["sd3", "flux-kontext"])
def test_an_adapted_model_edits_in_half_precision(bases, tmp_path, name) -> None:
    model = learned(model_of(bases, name, lora=LORA, precision="bf16"))
    save_diffusion_model(model, tmp_path, {})
    loaded = load_trained(tmp_path, "bf16")
    inputs = inputs_for(loaded)
    made = denoised(
        loaded,
        inputs,
        [torch.Generator(), torch.Generator()],
        scheduler=loaded.scheduler,
        steps=1,
        chosen=branches(2.0, 1.5),
    )
    assert {each.dtype for each in loaded.network.parameters()} == {torch.bfloat16}
    assert made.isfinite().all()
