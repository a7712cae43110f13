from types import SimpleNamespace

import numpy as np
import pytest
import torch

from editloop.errors import RecipeError
from editloop.models.backbones.families import FAMILIES
from editloop.models.inputs import EditInputs
from editloop.models.schedules import NoiseLevels
from editloop.training.diffusion_settings import DiffusionTrainingSettings
from editloop.training.edits import EditBatch, edit_loss
from editloop.training.objective import (
    DropRates,
    Objective,
    add_noise,
    chosen_levels,
    drop_conditions,
    losses_of,
    min_snr_weights,
    wanted_output,
)

COUNT = 40_000
EMPTY_TEXT = torch.tensor([1, 2])
EMPTY_REWARD = torch.tensor([1, 2, 0])
BLANKS = {"text": EMPTY_TEXT, "reward_text": EMPTY_REWARD, "mask": torch.ones(())}
RATES = DropRates(reward=0.1, mask=0.5)


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_noise_is_added_as_the_paper_says() -> None:
    clean, noise = random(3, 2, 4, 4), random(3, 2, 4, 4, seed=1)
    signal = torch.tensor([0.0, 0.3, 1.0])
    share = signal.numpy()[:, None, None, None]
    expected = np.sqrt(share) * clean.numpy() + np.sqrt(1 - share) * noise.numpy()
    assert np.allclose(
        add_noise(clean, noise, signal.sqrt(), (1 - signal).sqrt()).numpy(), expected, atol=1e-6
    )


@pytest.mark.parametrize("prediction", ["x0", "epsilon", "v"])
def test_from_each_prediction_the_picture_can_be_had_back(prediction) -> None:
    clean, noise = random(3, 2, 4, 4), random(3, 2, 4, 4, seed=1)
    signal = torch.tensor([0.2, 0.5, 0.9])
    a, s = (each.view(3, 1, 1, 1) for each in (signal.sqrt(), (1 - signal).sqrt()))
    noisy = add_noise(clean, noise, signal.sqrt(), (1 - signal).sqrt())
    wanted = wanted_output(prediction, clean, noise, signal.sqrt(), (1 - signal).sqrt())
    back = {"x0": wanted, "epsilon": (noisy - s * wanted) / a, "v": a * noisy - s * wanted}
    assert torch.allclose(back[prediction], clean, atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "formula"),
    [
        ("l1", lambda d: np.abs(d).mean()),
        ("mse", lambda d: (d**2).mean()),
        ("rms", lambda d: np.sqrt((d**2).mean((1, 2, 3)) + 1e-4).mean()),
    ],
)
def test_losses_are_their_formulas(kind, formula) -> None:
    output, wanted = random(3, 2, 4, 4), random(3, 2, 4, 4, seed=1)
    expected = formula((output - wanted).numpy())
    assert losses_of(kind, output, wanted).mean().item() == pytest.approx(expected, rel=1e-5)


def test_rms_weighs_small_and_large_edits_alike() -> None:
    output = torch.zeros(2, 1, 8, 8, requires_grad=True)
    wanted = torch.stack([torch.full((1, 8, 8), 1.5), torch.full((1, 8, 8), 0.1)])
    losses_of("rms", output, wanted).mean().backward()
    small, large = output.grad[1].norm(), output.grad[0].norm()
    assert small / large == pytest.approx(1, abs=0.01)


def test_timesteps_lean_towards_noise_and_stay_in_range() -> None:
    draws = torch.linspace(0, 1, COUNT)
    made = chosen_levels("mostly-last", draws, 1000)
    assert (made.min(), made.max()) == (0, 999)
    assert (made == 999).float().mean() == pytest.approx(0.75, abs=0.01)


def test_uniform_levels_are_all_as_likely() -> None:
    made = chosen_levels("uniform", torch.linspace(0, 1, 1000 * 20 + 1)[:-1], 1000)
    assert (torch.bincount(made, minlength=1000) - 20).abs().max() <= 1


def test_logit_normal_levels_lie_around_the_middle() -> None:
    draws = torch.rand(COUNT, generator=torch.Generator().manual_seed(0))
    made = chosen_levels("logit-normal", draws, 1000).double().div(1000).logit(1e-4)
    assert made.mean().item() == pytest.approx(0, abs=0.02)
    assert made.std().item() == pytest.approx(1, abs=0.02)


def test_flow_predicts_the_way_from_the_picture_to_the_noise() -> None:
    clean, noise = random(3, 2, 4, 4), random(3, 2, 4, 4, seed=1)
    sigma = torch.tensor([0.1, 0.5, 1.0])
    noisy = add_noise(clean, noise, 1 - sigma, sigma)
    wanted = wanted_output("flow", clean, noise, 1 - sigma, sigma)
    assert torch.allclose(noisy - sigma.view(3, 1, 1, 1) * wanted, clean, atol=1e-6)


class Velocity:
    """A flow-matching model whose network answers with its guidance times the noisy latents."""

    device = torch.device("cpu")
    levels = NoiseLevels(
        torch.tensor([0.9, 0.5, 0.0]),
        torch.tensor([0.1, 0.5, 1.0]),
        torch.tensor([100.0, 500.0, 1000.0]),
        "flow",
    )

    def given(self, _inputs, guidance=None):
        return 1.0 if guidance is None else guidance

    def __call__(self, noisy, _timestep, given):
        return given * noisy


def flow_loss_of(**objective):
    clean, noise = random(3, 2, 4, 4), random(3, 2, 4, 4, seed=1)
    batch = EditBatch(clean, EditInputs(clean, clean), noise, torch.arange(3))
    model = Velocity()
    return edit_loss(model, Objective(**objective), model, batch, bf16=False), clean, noise


def test_the_loss_of_x0_is_that_of_ultra_edits_released_script() -> None:
    found, clean, noise = flow_loss_of(flow_loss="x0")
    sigmas = Velocity.levels.sigma.view(3, 1, 1, 1)
    noisy = sigmas * noise + (1.0 - sigmas) * clean
    precondition = noisy * (-sigmas) + noisy
    assert found.item() == pytest.approx(((precondition - clean) ** 2).mean().item(), rel=1e-5)
    velocity = ((noisy - (noise - clean)) ** 2).mean().item()
    assert flow_loss_of()[0].item() == pytest.approx(velocity, rel=1e-5)
    assert found.item() != pytest.approx(velocity, rel=0.1)


def test_the_guidance_input_of_training_reaches_the_network() -> None:
    assert torch.equal(flow_loss_of(guidance=1.0)[0], flow_loss_of()[0])
    assert not torch.equal(flow_loss_of(guidance=3.5)[0], flow_loss_of()[0])


def objective_of(family, **settings):
    prediction = "flow" if family in ("sd3", "flux-kontext") else "epsilon"
    model = SimpleNamespace(family=FAMILIES[family], levels=SimpleNamespace(prediction=prediction))
    return DiffusionTrainingSettings(base="any", **settings).objective(model)


def test_timesteps_follow_the_base_unless_they_are_set() -> None:
    assert objective_of("sd").timesteps == "uniform"
    assert objective_of("sd3").timesteps == "logit-normal"
    assert objective_of("flux-kontext", timesteps="uniform").timesteps == "uniform"


@pytest.mark.parametrize(
    ("family", "settings"),
    [("sd", {"flow_loss": "x0"}), ("sd3", {"guidance": 1.0}), ("sdxl", {"guidance": 3.5})],
    ids=str,
)
def test_an_objective_that_cannot_act_on_a_base_is_refused(family, settings) -> None:
    with pytest.raises(RecipeError, match=f"`{next(iter(settings))}` has no effect on this base"):
        objective_of(family, **settings)


@pytest.mark.parametrize("prediction", ["epsilon", "v"])
def test_min_snr_weighs_predictions_as_it_weighs_the_picture(prediction) -> None:
    clean, noise = random(3, 2, 4, 4), random(3, 2, 4, 4, seed=1)
    signal = torch.tensor([0.2, 0.5, 0.97])
    alpha, sigma = signal.sqrt(), (1 - signal).sqrt()
    noisy = add_noise(clean, noise, alpha, sigma)
    wanted = wanted_output(prediction, clean, noise, alpha, sigma)
    answer = wanted + 0.1 * random(3, 2, 4, 4, seed=2)
    a, s = (each.view(3, 1, 1, 1) for each in (alpha, sigma))
    picture = (noisy - s * answer) / a if prediction == "epsilon" else a * noisy - s * answer
    by_picture = losses_of("mse", picture, clean) * min_snr_weights("x0", alpha, sigma)
    weighted = losses_of("mse", answer, wanted) * min_snr_weights(prediction, alpha, sigma)
    steady = 1 if prediction == "epsilon" else sigma.square() * (alpha / sigma).square().add(1)
    assert torch.allclose(weighted * steady, by_picture, rtol=1e-4)


def dropped(rates=RATES, **others) -> EditInputs:
    inputs = EditInputs(torch.ones(COUNT, 1, 1, 1), torch.full((COUNT, 2), 9), **others)
    draws = torch.rand(COUNT, 3, generator=torch.Generator().manual_seed(0))
    return drop_conditions(inputs, draws, BLANKS, rates)


def test_instruction_and_source_are_dropped_as_by_instruct_pix2pix() -> None:
    made = dropped()
    no_source = ~made.source.flatten(1).any(1)
    no_text = (made.text == EMPTY_TEXT).all(1)
    for rows in (no_text & ~no_source, no_source & ~no_text, no_source & no_text):
        assert rows.float().mean() == pytest.approx(0.05, abs=0.005)


def test_a_samples_rewards_are_dropped_together_in_a_tenth() -> None:
    made = dropped(
        scores=torch.full((COUNT, 3), 4.0),
        keep=torch.ones(COUNT, 3),
        reward_text=torch.full((COUNT, 3), 9),
    )
    unscored = ~made.keep.any(1)
    assert unscored.float().mean() == pytest.approx(0.1, abs=0.005)
    assert torch.equal(unscored, (made.reward_text == EMPTY_REWARD).all(1))
    assert torch.equal(unscored, ~made.keep.all(1))


def test_an_unknown_score_stays_unknown() -> None:
    keep = torch.tensor([1.0, 0.0, 1.0]).expand(COUNT, 3)
    made = dropped(scores=torch.zeros(COUNT, 3), keep=keep)
    assert not made.keep[:, 1].any()
    assert made.keep[:, 0].any()


def test_a_dropped_mask_is_white_everywhere() -> None:
    made = dropped(mask=torch.zeros(COUNT, 1, 2, 2))
    assert made.mask.flatten(1).all(1).float().mean() == pytest.approx(0.5, abs=0.01)


def test_a_diffusion_models_mask_goes_with_its_source() -> None:
    rates = objective_of("sd3").drop
    made = dropped(rates, mask=torch.ones(COUNT, 1, 2, 2))
    no_source = ~made.source.flatten(1).any(1)
    assert no_source.float().mean() == pytest.approx(0.1, abs=0.005)
    assert torch.equal(no_source, ~made.mask.flatten(1).any(1))


def test_what_is_not_there_is_not_made() -> None:
    made = dropped()
    assert (made.mask, made.scores, made.keep, made.reward_text) == (None, None, None, None)
