import pytest
import torch
from pydantic import ValidationError

from editloop.errors import RecipeError
from editloop.models.pocket import PocketModel, PocketSettings, mask_tensor
from networks import awake, inputs_for, pocket, settings, vocabulary


def predict(model, inputs, seed=0):
    random = torch.Generator().manual_seed(seed)
    noisy = torch.randn(inputs.source.shape, generator=random)
    with torch.no_grad():
        return model(noisy, torch.full((len(inputs),), 500), inputs)


@pytest.mark.parametrize("patch", [1, 2, 4])
def test_the_codec_loses_nothing(patch) -> None:
    model = pocket(patch=patch)
    pixels = torch.arange(32 * 64 * 3).remainder(256).to(torch.uint8).view(1, 32, 64, 3)
    latents = model.encode(pixels)
    assert latents.shape == (1, 3 * patch**2, 32 // patch, 64 // patch)
    assert latents.min() == -1
    assert latents.max() == 1
    assert (model.decode(latents)[0] == pixels[0].numpy()).all()


@pytest.mark.parametrize("conditions", [(), ("mask",), ("reward",), ("mask", "reward")])
def test_it_starts_from_nothing_changed(conditions) -> None:
    model = pocket(*conditions)
    inputs = inputs_for(model)
    assert torch.equal(predict(model, inputs), inputs.source)


@pytest.mark.parametrize("name", ["source", "text", "mask", "scores", "keep", "reward_text"])
def test_every_condition_changes_the_answer(name) -> None:
    model = pocket("mask", "reward")
    awake(model)
    inputs = inputs_for(model)
    other = inputs_for(model, seed=1)
    changed = inputs.with_(
        {name: torch.zeros_like(inputs.keep) if name == "keep" else getattr(other, name)}
    )
    assert not torch.allclose(predict(model, changed), predict(model, inputs), atol=1e-3)


@pytest.mark.parametrize(("switch", "unread"), [("score", "scores"), ("text", "reward_text")])
def test_a_reward_embedding_that_is_off_is_not_read(switch, unread) -> None:
    model = pocket("reward", reward={switch: False})
    awake(model)
    inputs = inputs_for(model)
    changed = inputs.with_({unread: getattr(inputs_for(model, seed=1), unread)})
    assert torch.equal(predict(model, changed), predict(model, inputs))


def test_a_condition_that_is_missing_is_named() -> None:
    model = pocket("reward")
    inputs = inputs_for(pocket())
    with pytest.raises(ValueError, match="condition of this model is missing"):
        predict(model, inputs)


@pytest.mark.parametrize("prediction", ["epsilon", "v"])
def test_only_a_prediction_of_the_picture_is_a_residual(prediction) -> None:
    model = pocket(prediction=prediction)
    assert not predict(model, inputs_for(model)).any()


def test_equal_seeds_make_equal_weights_and_leave_global_random_state_alone() -> None:
    before = torch.get_rng_state()
    first, again, other = pocket(seed=3), pocket(seed=3), pocket(seed=4)
    assert torch.equal(torch.get_rng_state(), before)
    pairs = zip(first.parameters(), again.parameters(), strict=True)
    assert all(torch.equal(*pair) for pair in pairs)
    pairs = zip(first.parameters(), other.parameters(), strict=True)
    assert any(not torch.equal(*pair) for pair in pairs)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_latents_that_are_not_finite_are_no_picture(value) -> None:
    latents = torch.zeros(2, 48, 8, 8)
    latents[1, 3, 2, 2] = value
    with pytest.raises(RecipeError, match="decoded picture has NaN or infinite"):
        pocket().decode(latents)


def test_a_mask_becomes_zeros_and_ones() -> None:
    grey = torch.tensor([[[0, 100], [200, 255]]], dtype=torch.uint8).numpy()
    assert mask_tensor(grey).tolist() == [[[[0, 0], [1, 1]]]]


def test_the_default_has_about_three_million_parameters_with_rewards() -> None:
    model = PocketModel(PocketSettings(conditions=("source", "mask", "reward")), vocabulary())
    assert 2e6 < model.parameter_count < 4e6


@pytest.mark.parametrize(
    "content",
    [
        {"conditions": ("reward",)},
        {"conditions": ("source", "source")},
        {"conditions": ("source", "sound")},
        {"channels": ()},
        {"channels": (12,)},
        {"size": 50},
        {"patch": 3},
        {"prediction": "y"},
        {"reward": {"variant": "released"}},
    ],
)
def test_settings_that_cannot_be_built_are_refused(content) -> None:
    with pytest.raises(ValidationError):
        settings_with(content)


def settings_with(content):
    return PocketSettings(**{**settings().model_dump(), **content})
