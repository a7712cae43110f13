"""Sampling with a published model: equal to diffusers' own loop, for every sampler."""

from types import SimpleNamespace

import diffusers
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, StableDiffusionInstructPix2PixPipeline

from editloop.models.backbones.base_loading import load_base
from editloop.models.backbones.base_request import Wanted
from editloop.models.backbones.flow import start_flow
from editloop.models.backbones.sampling import denoised
from editloop.models.guidance import branches
from editloop.models.inputs import EditInputs
from editloop.models.reward import RewardSettings
from networks import awake
from tiny_pipelines import save_instruct_pix2pix

# diffusers' samplers pass tensors to NumPy in a way that NumPy 2 warns about.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

STEPS = 3
SAMPLERS = (
    "PNDMScheduler",
    "DDIMScheduler",
    "DDPMScheduler",
    "EulerDiscreteScheduler",
    "EulerAncestralDiscreteScheduler",
    "DPMSolverMultistepScheduler",
    "UniPCMultistepScheduler",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_instruct_pix2pix(tmp_path_factory.mktemp("sd"))


@pytest.fixture(scope="module")
def model(folder):
    made = load_base(str(folder), Wanted())
    made.denoiser.eval()
    return made


@pytest.fixture(scope="module")
def plain(folder):
    made = StableDiffusionInstructPix2PixPipeline.from_pretrained(folder, safety_checker=None)
    made.set_progress_bar_config(disable=True)
    return made


def inputs_of(model, *texts):
    source = torch.randn(len(texts), 4, 8, 12, generator=torch.Generator().manual_seed(5))
    return EditInputs(source, model.texts.ids(texts))


def generators(*seeds):
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def sampled(model, inputs, seeds, scheduler=None, scales=(7.5, 1.5)):
    return denoised(
        model,
        inputs,
        generators(*seeds),
        scheduler=scheduler or model.scheduler,
        steps=STEPS,
        chosen=branches(*scales),
    )


def counted(monkeypatch, place, name):
    """Record the number of rows of every call of a module."""
    rows = []
    real = getattr(place, name)

    def call(first, *rest, **named):
        rows.append(len(first))
        return real(first, *rest, **named)

    monkeypatch.setattr(place, name, call)
    return rows


@pytest.mark.parametrize("name", SAMPLERS)
def test_it_is_the_pipelines_own_loop(model, plain, name) -> None:
    texts = ["make it red", "add a cat"]
    inputs = inputs_of(model, *texts)
    made = getattr(diffusers, name).from_config(model.scheduler.config)
    plain.scheduler = getattr(diffusers, name).from_config(model.scheduler.config)
    expected = plain(
        texts,
        image=inputs.source,  # four channels are treated as latents
        num_inference_steps=STEPS,
        guidance_scale=7.5,
        image_guidance_scale=1.5,
        generator=generators(1, 2),
        output_type="latent",
    ).images
    found = sampled(model, inputs, (1, 2), made) / plain.vae.config.scaling_factor
    assert torch.allclose(found * plain.vae.config.scaling_factor, expected, atol=2e-4)


@pytest.mark.parametrize("scales", [(7.5, 1.0), (1.0, 1.0), (2.0, 2.0), (1.0, 1.5)])
def test_a_branch_of_weight_zero_is_dropped_exactly(model, scales) -> None:
    inputs = inputs_of(model, "make it red")
    text, image = scales
    near = sampled(model, inputs, [3], scales=(text + 1e-6, image + 2e-6))  # all three branches run
    assert torch.allclose(sampled(model, inputs, [3], scales=scales), near, atol=2e-3)


@pytest.mark.parametrize(("scales", "runs"), [((7.5, 1.5), 3), ((7.5, 1.0), 2), ((1.0, 1.0), 1)])
def test_all_branches_are_one_call_of_the_network(model, monkeypatch, scales, runs) -> None:
    rows = counted(monkeypatch, model.network, "forward")
    sampled(model, inputs_of(model, "a", "b"), (1, 2), diffusers.DDIMScheduler(), scales)
    assert rows == [2 * runs] * STEPS


def test_texts_are_one_call_of_the_encoder_and_the_empty_one_is_one_row(model, monkeypatch) -> None:
    rows = counted(monkeypatch, model.texts.encoder, "forward")
    sampled(model, inputs_of(model, "a", "b"), (1, 2))
    sampled(model, inputs_of(model, "a", "b"), (1, 2), scales=(1.0, 1.0))
    assert rows == [3, 2]


@pytest.mark.parametrize("name", ["DDIMScheduler", "EulerAncestralDiscreteScheduler"])
def test_a_row_depends_on_its_own_seed_only(model, name) -> None:
    inputs = inputs_of(model, "a", "b")
    scheduler = getattr(diffusers, name).from_config(model.scheduler.config)
    both = sampled(model, inputs, (1, 2), scheduler)
    alone = sampled(model, inputs.mapped(lambda each: each[1:]), [2], scheduler)
    assert torch.allclose(both[1:], alone, atol=1e-4)


def test_nothing_needs_gradients(model) -> None:
    assert not sampled(model, inputs_of(model, "a"), [1]).requires_grad


def test_a_network_of_half_precision_is_sampled_in_full(folder, model) -> None:
    coarse = load_base(str(folder), Wanted(precision="bf16", trained=False))
    coarse.denoiser.eval()
    inputs = inputs_of(model, "a")
    found, exact = (
        sampled(each, inputs, [1], diffusers.DDIMScheduler()) for each in (coarse, model)
    )
    assert found.dtype == torch.float32
    assert 0 < (found - exact).abs().mean() < 0.2 * exact.abs().mean()


@pytest.mark.parametrize("variant", ["paper", "released"])
def test_mask_and_rewards_reach_the_network(tmp_path, variant) -> None:
    wanted = Wanted(
        conditions=("source", "mask", "reward"),
        reward=RewardSettings(variant=variant),
        new_weights="random",
    )
    model = load_base(str(save_instruct_pix2pix(tmp_path)), wanted)
    model.denoiser.eval()
    awake(model.condition("reward"))
    usual = inputs_of(model, "a").with_(
        {
            "mask": model.blank_mask(16, 24),
            "scores": torch.full((1, 3), 5.0),
            "keep": torch.ones(1, 3),
            "reward_text": model.texts.ids(["None;None;None"]),
        }
    )
    found = sampled(model, usual, [1])
    for name in ("mask", "scores"):
        other = usual.with_({name: torch.zeros_like(getattr(usual, name))})
        assert not torch.allclose(found, sampled(model, other, [1]), atol=1e-3), name


TRUTH = torch.linspace(-1, 1, 2 * 4 * 8 * 12).view(2, 4, 8, 12)


@pytest.mark.parametrize("dynamic", [False, True])
def test_flow_matching_ends_where_a_perfect_network_points(model, dynamic) -> None:
    told = []

    def oracle(noisy, timestep, _given):
        told.append(float(timestep[0]))
        return (noisy - TRUTH) / (timestep[0] / 1000)

    knowing = SimpleNamespace(
        family=model.family,
        autoencoder=model.autoencoder,
        network=model.network,
        denoiser=oracle,
        given=model.given,
        blank_text=model.blank_text,
        start=lambda scheduler, steps, *_: start_flow(scheduler, steps, 24, model.device),
    )
    scheduler = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=dynamic)
    found = sampled(knowing, inputs_of(model, "a", "b"), (1, 2), scheduler, (1.0, 1.0))
    assert torch.allclose(found, TRUTH, atol=1e-4)
    assert told[0] == 1000
