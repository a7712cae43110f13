"""Every family with every condition: building, prediction, saving and loading."""

import pytest
import torch
from diffusers import (
    EDMEulerScheduler,
    FluxKontextPipeline,
    StableDiffusion3Pipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
)

from editloop.errors import RecipeError
from editloop.models.backbones.base_loading import load_base, load_trained
from editloop.models.backbones.base_request import Wanted
from editloop.models.backbones.extra_channels import widened
from editloop.models.backbones.saving import save_diffusion_model
from editloop.models.pipeline_loading import load_pipeline
from tiny_models import LORA, TEXTS, answer, base, inputs_for, learned, model_of

pytestmark = pytest.mark.slow

UNETS = [(), ("mask",), ("paper",), ("released",), ("mask", "paper")]
CASES = [
    *[(name, each, lora) for name in ("sd", "sdxl") for each in UNETS for lora in (None, LORA)],
    *[("sd3", each, lora) for each in ((), ("mask",)) for lora in (None, LORA)],
    ("flux-kontext", (), LORA),
]


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    return tmp_path_factory.mktemp("bases")


@pytest.fixture(
    scope="module",
    params=CASES,
    ids=lambda case: "-".join([case[0], *case[1], "lora" if case[2] else "whole"]),
)
def model(bases, request):
    name, conditions, lora = request.param
    return learned(model_of(bases, name, *conditions, lora=lora))


def test_answers_are_latents_like_the_noise(model) -> None:
    found = answer(model)
    assert found.shape == (2, *model.noise_shape(32, 16))
    assert found.isfinite().all()


def test_a_saved_model_answers_the_same_bit_for_bit(model, tmp_path) -> None:
    save_diffusion_model(model, tmp_path, {"steps": 3})
    loaded = load_trained(tmp_path)
    assert loaded.conditions == model.conditions
    assert torch.equal(answer(loaded), answer(model))


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("sd", StableDiffusionPipeline),
        ("sdxl", StableDiffusionXLPipeline),
        ("sd3", StableDiffusion3Pipeline),
        ("sd3-short", StableDiffusion3Pipeline),
        ("flux-kontext", FluxKontextPipeline),
    ],
)
def test_texts_are_read_as_diffusers_pipeline_reads_them(bases, name, made) -> None:
    model = model_of(bases, name, trained=False)
    without = dict.fromkeys(["text_encoder_3", "tokenizer_3"] if name == "sd3-short" else [])
    pipeline = load_pipeline(made, base(bases, name), "fp32", **without)
    found = model.texts.states(model.texts.ids(TEXTS))
    options = {} if name == "flux-kontext" else {"do_classifier_free_guidance": False}
    if name == "sd":
        options = {**options, "num_images_per_prompt": 1, "device": pipeline.device}
    if name.startswith("sd3"):
        options = {**options, "prompt_2": None, "prompt_3": None}
    with torch.no_grad():
        hidden, *others = pipeline.encode_prompt(TEXTS, **options)
    assert torch.equal(found.hidden, hidden)
    pooled = {"sdxl": 1, "sd3": 1, "sd3-short": 1, "flux-kontext": 0}.get(name)
    assert pooled is None or torch.equal(found.pooled, others[pooled])


def test_a_text_is_cut_where_the_encoders_end_and_lone_surrogates_do_no_harm(bases) -> None:
    texts = model_of(bases, "sd3").texts
    assert texts.ids(["red " * 500, "\ud800"]).shape == texts.ids(["red", ""]).shape


@pytest.mark.parametrize("name", ["sd", "sdxl", "sd3"])
def test_at_the_start_nothing_new_is_heard(bases, name) -> None:
    plain = model_of(bases, name, "mask")
    inputs = inputs_for(plain)
    others = inputs.with_({"source": inputs.source + 3, "mask": inputs.mask * 2})
    assert torch.equal(answer(plain, inputs), answer(plain, others))


@pytest.mark.parametrize("conditions", [("mask",), ("editloop",)])
def test_at_the_start_a_base_answers_as_it_did(bases, conditions) -> None:
    model = model_of(bases, "sd-edit", *conditions)
    before = model_of(bases, "sd-edit")
    torch.testing.assert_close(answer(model), answer(before), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("name", ["sd", "sd3"])
def test_random_weights_are_of_the_seed(bases, name) -> None:
    drawn = [
        answer(model_of(bases, name, "mask", new_weights="random", seed=seed)) for seed in (1, 1, 2)
    ]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.allclose(drawn[0], drawn[2])


def test_random_weights_hear_the_source(bases) -> None:
    model = model_of(bases, "sd", new_weights="random")
    inputs = inputs_for(model)
    changed = inputs.with_({"source": inputs.source + 3})
    assert not torch.allclose(answer(model, inputs), answer(model, changed))


def test_a_layer_is_never_narrowed() -> None:
    with pytest.raises(ValueError, match="12 input channels cannot become 8"):
        widened(torch.nn.Conv2d(12, 4, 3), 8, "zero", 0)


@pytest.mark.parametrize(
    ("name", "conditions", "options", "complaint"),
    [
        ("sd-inpaint", (), {}, "9 input channels cannot take source"),
        ("sd3", ("paper",), {}, r"sd3 cannot be conditioned on reward(.|\n)*source, mask"),
        ("flux-kontext", ("mask",), {"lora": LORA}, "flux-kontext cannot be conditioned on mask"),
        ("flux-kontext", ("paper",), {"lora": LORA}, "cannot be conditioned on reward"),
        ("flux-kontext", (), {}, r"only be trained with low-rank adapters(.|\n)*set lora"),
    ],
)
def test_what_a_base_cannot_be_is_said(bases, name, conditions, options, complaint) -> None:
    with pytest.raises(RecipeError, match=complaint):
        model_of(bases, name, *conditions, **options)


def test_a_base_for_masks_asks_for_one(bases, tmp_path) -> None:
    save_diffusion_model(model_of(bases, "sd", "mask"), tmp_path, {})
    with pytest.raises(RecipeError, match=r"12 input channels(.|\n)*add mask to the conditions"):
        load_base(str(tmp_path), Wanted())


def test_a_model_goes_on_under_the_reward_that_it_learned_under(bases, tmp_path) -> None:
    save_diffusion_model(learned(model_of(bases, "sd", "released")), tmp_path / "sd", {})
    gone_on = model_of(tmp_path, "sd", "released").condition("reward").state_dict()
    saved = load_trained(tmp_path / "sd").condition("reward").state_dict()
    assert all(torch.equal(gone_on[name], each) for name, each in saved.items())
    with pytest.raises(RecipeError, match=r"another reward condition(.|\n)*released"):
        model_of(tmp_path, "sd", "paper")


def test_noise_levels_without_betas_are_edited_with_and_not_learned(tmp_path) -> None:
    EDMEulerScheduler().save_pretrained(base(tmp_path, "sdxl-edit") / "scheduler")
    index = tmp_path / "sdxl-edit" / "model_index.json"
    index.write_text(index.read_text().replace("PNDMScheduler", "EDMEulerScheduler"))
    assert answer(model_of(tmp_path, "sdxl-edit", trained=False)).isfinite().all()
    with pytest.raises(RecipeError, match="scheduler is not supported: EDMEulerScheduler"):
        model_of(tmp_path, "sdxl-edit")


def test_other_pipelines_are_no_bases(tmp_path) -> None:
    (tmp_path / "model_index.json").write_text('{"_class_name": "StableDiffusionInpaintPipeline"}')
    with pytest.raises(RecipeError, match=r"cannot be trained(.|\n)*StableDiffusion3Pipeline"):
        load_base(str(tmp_path), Wanted())
