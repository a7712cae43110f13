"""Only adapters and widened layers are trained; all other weights stay unchanged."""

from pathlib import Path

import pytest
import torch

from editloop.errors import RecipeError, StoreError
from editloop.models.backbones.base_loading import load_base, load_trained
from editloop.models.backbones.base_request import Wanted
from editloop.models.backbones.model import Lora
from editloop.models.backbones.saving import save_diffusion_model
from editloop.models.reward import RewardSettings
from tiny_models import LORA, answer, base, inputs_for, learned, model_of

pytestmark = pytest.mark.slow

NAMES = ["sd", "sdxl", "sd3", "flux-kontext"]
GROWN = {"sd": "conv_in", "sdxl": "conv_in", "sd3": "pos_embed.proj"}
# The last block's text output is not used, so its text queries are not trained.
SILENT = "transformer_blocks.1.attn.add_q_proj"


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    return tmp_path_factory.mktemp("bases")


def backward(model):
    inputs = inputs_for(model)
    noisy = torch.randn(inputs.source.shape, generator=torch.Generator().manual_seed(9))
    output = model.denoiser(noisy, torch.tensor([300.0, 800.0]), model.given(inputs))
    output.float().square().mean().backward()


@pytest.mark.parametrize("name", NAMES)
def test_gradients_reach_adapters_and_grown_layers_only(bases, name) -> None:
    model = learned(model_of(bases, name, lora=LORA))
    backward(model)
    trained = dict(model.network.named_parameters())
    for each, parameter in trained.items():
        reached = parameter.grad is not None and bool(parameter.grad.any())
        wanted = "lora_" in each or each.startswith(GROWN.get(name, "none"))
        assert reached == (wanted and not (name == "sd3" and SILENT in each)), each


def test_a_reward_condition_learns_beside_adapters(bases) -> None:
    model = learned(model_of(bases, "sd", "paper", lora=LORA))
    backward(model)
    parameters = dict(model.condition("reward").named_parameters())
    assert [each for each, value in parameters.items() if not value.grad.any()] == []


@pytest.mark.parametrize("name", NAMES)
def test_what_learns_is_in_full_precision_on_a_base_in_half(bases, name) -> None:
    model = model_of(bases, name, lora=LORA, precision="bf16")
    kinds = {each.requires_grad: set() for each in model.denoiser.parameters()}
    for each in model.denoiser.parameters():
        kinds[each.requires_grad].add(each.dtype)
    assert kinds == {True: {torch.float32}, False: {torch.bfloat16}}
    with torch.autocast("cpu", torch.bfloat16):
        backward(model)
        assert answer(model).isfinite().all()


def test_adapters_start_without_effect_and_as_the_seed_has_them(bases) -> None:
    plain = answer(model_of(bases, "sd-edit"))
    first, same, other = (model_of(bases, "sd-edit", lora=LORA, seed=each) for each in (1, 1, 2))
    torch.testing.assert_close(answer(first), plain, atol=1e-6, rtol=1e-5)
    found = [dict(each.network.named_parameters()) for each in (first, same, other)]
    drawn = [name for name in found[0] if "lora_A" in name]
    assert all(torch.equal(found[0][name], found[1][name]) for name in drawn)
    assert not any(torch.equal(found[0][name], found[2][name]) for name in drawn)


def test_building_draws_nothing_from_the_global_state(bases) -> None:
    base(bases, "sd")
    state = torch.random.get_rng_state()
    model_of(bases, "sd", "mask", "paper", lora=LORA, new_weights="random")
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_layer_that_did_not_grow_is_not_saved(bases, tmp_path) -> None:
    save_diffusion_model(model_of(bases, "sd-edit", lora=LORA), tmp_path, {})
    assert not (tmp_path / "grown.safetensors").exists()


def test_adapters_of_another_network_are_refused(bases, tmp_path) -> None:
    save_diffusion_model(model_of(bases, "sd-edit", lora=LORA), tmp_path / "unet", {})
    save_diffusion_model(model_of(bases, "flux-kontext", lora=LORA), tmp_path / "flux", {})
    other = tmp_path / "flux" / "pytorch_lora_weights.safetensors"
    other.replace(tmp_path / "unet" / other.name)
    with pytest.raises(StoreError, match="adapters of another network"):
        load_trained(tmp_path / "unet")


def gone_on(folder, *conditions, lora=LORA):
    reward = RewardSettings(variant="paper") if "reward" in conditions else None
    return load_base(str(folder), Wanted(("source", *conditions), reward=reward, lora=lora))


@pytest.mark.parametrize("name", NAMES)
def test_adapters_are_trained_further_as_they_were(bases, tmp_path, name) -> None:
    conditions = ("paper",) if name == "sd" else ()
    model = learned(model_of(bases, name, *conditions, lora=LORA))
    save_diffusion_model(model, tmp_path, {})
    again = gone_on(tmp_path, *(("reward",) if conditions else ()))
    assert torch.equal(answer(again), answer(model))
    assert again.base == model.base
    assert again.parameter_count == model.parameter_count


@pytest.mark.parametrize("lora", [None, Lora(LORA.rank, 5), Lora(4, LORA.alpha)], ids=str)
def test_other_adapters_than_a_base_has_are_refused(bases, tmp_path, lora) -> None:
    save_diffusion_model(model_of(bases, "sd-edit", lora=LORA), tmp_path, {})
    with pytest.raises(
        RecipeError, match=r"set lora: {rank: 2, alpha: 6}, or start from .*sd-edit"
    ):
        gone_on(tmp_path, lora=lora)


def test_other_conditions_than_adapters_have_are_refused(bases, tmp_path) -> None:
    save_diffusion_model(model_of(bases, "sd-edit", lora=LORA), tmp_path, {})
    with pytest.raises(RecipeError, match=r"set conditions: \[source\]"):
        gone_on(tmp_path, "mask")


def test_adapters_find_their_base_from_anywhere(bases, tmp_path, monkeypatch) -> None:
    base(bases, "sd-edit")
    monkeypatch.chdir(bases)
    save_diffusion_model(model_of(Path(), "sd-edit", lora=LORA), tmp_path, {})
    monkeypatch.chdir("/")
    assert load_trained(tmp_path).base == str(bases / "sd-edit")
