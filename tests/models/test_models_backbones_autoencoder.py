"""Latents: the scales for training and conditioning, and a precision without overflow."""

import json

import pytest
import torch
from diffusers import AutoencoderKL, FluxKontextPipeline, StableDiffusionInstructPix2PixPipeline

from editloop.errors import RecipeError
from editloop.models.backbones.autoencoder import Autoencoder
from editloop.models.backbones.freezing import frozen
from editloop.models.pipeline_loading import load_pipeline
from tiny_models import base, model_of, pictures
from tiny_pipelines import tiny_flow_vae, tiny_t5, tiny_vae


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    return tmp_path_factory.mktemp("bases")


def as_pipelines_take(pixels):
    return pixels.permute(0, 3, 1, 2).float() / 127.5 - 1


@torch.no_grad()
def test_instruct_pix2pix_is_shown_its_source_unscaled(bases) -> None:
    folder = base(bases, "sd-edit")
    pipeline = load_pipeline(StableDiffusionInstructPix2PixPipeline, folder, "fp32")
    expected = pipeline.prepare_image_latents(
        as_pipelines_take(pictures()), 2, 1, torch.float32, pipeline.device, False
    )
    found = model_of(bases, "sd-edit").shown(pictures())
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_cosxl_is_shown_its_source_scaled(tmp_path) -> None:
    folder = base(tmp_path, "sdxl-edit")
    index = json.loads((folder / "model_index.json").read_text())
    plain = model_of(tmp_path, "sdxl-edit").shown(pictures())
    (folder / "model_index.json").write_text(json.dumps({**index, "is_cosxl_edit": True}))
    model = model_of(tmp_path, "sdxl-edit")
    scale = model.autoencoder.vae.config.scaling_factor
    torch.testing.assert_close(model.shown(pictures()), plain * scale)


@torch.no_grad()
def test_flux_is_shown_its_source_scaled(bases) -> None:
    pipeline = load_pipeline(FluxKontextPipeline, base(bases, "flux-kontext"), "fp32")
    expected = pipeline._encode_vae_image(as_pipelines_take(pictures()), None)
    found = model_of(bases, "flux-kontext", trained=False).shown(pictures())
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("vae", [tiny_vae(), tiny_flow_vae()], ids=["scaled", "shifted"])
@pytest.mark.parametrize("scales", [False, True])
def test_a_shown_picture_is_decoded_as_the_autoencoder_does(vae, scales) -> None:
    autoencoder = Autoencoder.of(vae, torch.float32, scales_sources=scales)
    mean = autoencoder.posterior(pictures()).mean
    found = autoencoder.pictures(autoencoder.unshown(autoencoder.shown(mean)))
    with torch.no_grad():
        values = vae.decode(mean).sample
    expected = ((values / 2 + 0.5).clamp(0, 1) * 255).round().permute(0, 2, 3, 1).numpy()
    assert abs(found[1].astype(float) - expected[1]).max() <= 1


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_decoded_picture_that_is_not_finite_is_an_error(value) -> None:
    vae = tiny_vae()
    with torch.no_grad():
        vae.decoder.conv_out.bias[0] = value
    with pytest.raises(RecipeError, match="decoded picture has NaN or infinite"):
        Autoencoder.of(vae, torch.float32).pictures(torch.zeros(1, 4, 4, 4))


def test_learned_latents_are_shifted_then_scaled() -> None:
    autoencoder = Autoencoder.of(tiny_flow_vae(), torch.float32)
    found = autoencoder.learned(torch.tensor([0.0609, 1.0609]))
    torch.testing.assert_close(found, torch.tensor([0.0, 1.5035]))


@pytest.mark.parametrize(
    ("dtype", "overflows", "expected"),
    [
        (torch.float16, True, torch.float32),
        (torch.float16, False, torch.float16),
        (torch.bfloat16, True, torch.bfloat16),
    ],
)
def test_an_autoencoder_that_overflows_stays_in_full_precision(dtype, overflows, expected) -> None:
    vae = AutoencoderKL(norm_num_groups=4, block_out_channels=(8,), force_upcast=overflows)
    kept = Autoencoder.of(vae, dtype).vae
    assert kept.dtype == expected
    assert not any(each.requires_grad for each in kept.parameters())


@pytest.mark.parametrize(
    ("dtype", "expected"), [(torch.float16, torch.float32), (torch.bfloat16, torch.bfloat16)]
)
def test_t5_keeps_what_would_overflow_in_full_precision(dtype, expected) -> None:
    layers = dict(frozen(tiny_t5(), dtype).named_modules())
    kinds = {layer.weight.dtype for name, layer in layers.items() if name.endswith(".wo")}
    others = {layer.weight.dtype for name, layer in layers.items() if name.endswith(".wi")}
    assert (kinds, others) == ({expected}, {dtype})


def test_latents_with_means_of_their_own_are_refused() -> None:
    vae = AutoencoderKL(norm_num_groups=4, block_out_channels=(8,), latents_mean=(0.1, 0.2))
    with pytest.raises(RecipeError, match="latents_mean"):
        Autoencoder.of(vae, torch.float32)
