import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler

from editloop.models.inversion import NullText, inverse_step, invert, null_texts
from tiny_baselines import deep_unet
from tiny_pipelines import TEXT_WIDTH

pytestmark = pytest.mark.slow

STEPS, GUIDANCE = 4, 3.0


def scheduler(prediction: str = "epsilon", steps: int = STEPS) -> DDIMScheduler:
    made = DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type=prediction,
    )
    made.set_timesteps(steps)
    return made


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def predict():
    unet = deep_unet().requires_grad_(False)

    def predicted(latents, timestep, text):
        return unet(latents, timestep, encoder_hidden_states=text).sample

    return predicted


@pytest.fixture(scope="module")
def texts():
    return noise(1, 7, TEXT_WIDTH, seed=1), noise(1, 7, TEXT_WIDTH, seed=2)


def sampled(predict, made, latents, empties, *, prompt, guidance):
    for timestep, empty in zip(made.timesteps, empties, strict=True):
        with torch.no_grad():
            none, told = predict(latents, timestep, empty), predict(latents, timestep, prompt)
        latents = made.step(none + guidance * (told - none), timestep, latents).prev_sample
    return latents


def test_a_step_to_noise_undoes_the_step_from_it() -> None:
    made = scheduler()
    latents, predicted = noise(1, 4, 8, 8), noise(1, 4, 8, 8, seed=1)
    timestep = made.timesteps[2]
    level = made.alphas_cumprod[made.timesteps[3]]
    noisier = inverse_step(latents, predicted, level, made.alphas_cumprod[timestep])
    back = made.step(predicted, timestep, noisier).prev_sample
    torch.testing.assert_close(back, latents, atol=1e-5, rtol=1e-5)


def test_a_step_to_noise_is_the_paper_s_formula() -> None:
    latents, predicted = noise(3, seed=1).double(), noise(3, seed=2).double()
    level, noisier = 0.9, 0.4
    z, eps = latents.numpy(), predicted.numpy()
    picture = (z - np.sqrt(1 - level) * eps) / np.sqrt(level)  # the predicted x0
    wanted = np.sqrt(noisier) * picture + np.sqrt(1 - noisier) * eps
    made = inverse_step(
        latents,
        predicted,
        torch.tensor(level, dtype=torch.float64),
        torch.tensor(noisier, dtype=torch.float64),
    )
    np.testing.assert_allclose(made, wanted, atol=1e-12)


@pytest.mark.parametrize("steps", [2, 5, 50])
def test_inversion_then_sampling_returns_the_latents(steps) -> None:
    """Inversion is exact if the network's output is the same at both ends of a step."""
    made, start = scheduler(steps=steps), noise(1, 4, 8, 8)

    def steady(*inputs):
        return noise(1, 4, 8, 8, seed=int(inputs[1]))

    path = invert(steady, start, torch.zeros(1), made)
    assert len(path) == steps + 1
    back = path[-1]
    for timestep in made.timesteps:
        back = made.step(steady(back, timestep, None), timestep, back).prev_sample
    torch.testing.assert_close(back, start, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_with_more_steps_a_network_s_inversion_is_closer(predict, texts, prediction) -> None:
    start, errors = noise(1, 4, 8, 8), []
    for steps in (5, 50):
        made = scheduler(prediction, steps)
        path = invert(predict, start, texts[1], made)
        back = sampled(predict, made, path[-1], [texts[0]] * steps, prompt=texts[1], guidance=1.0)
        errors.append((back - start).square().mean().item())
    assert errors[1] < errors[0] / 2


def test_an_optimised_empty_text_walks_the_path_back(predict, texts) -> None:
    made, start = scheduler(), noise(1, 4, 8, 8)
    path = invert(predict, start, texts[1], made)
    errors = []
    for iterations in (0, 3, 15):
        settings = NullText(GUIDANCE, iterations, rate=1e-1, enough=0.0)
        found = null_texts(predict, path, texts, made, settings)
        back = sampled(predict, made, path[-1], found, prompt=texts[1], guidance=GUIDANCE)
        errors.append((back - start).square().mean().item())
    assert errors[2] < errors[1] < errors[0]
    assert errors[2] < errors[0] / 2


def test_without_iterations_the_empty_text_stays(predict, texts) -> None:
    path = invert(predict, noise(1, 4, 8, 8), texts[1], scheduler())
    found = null_texts(predict, path, texts, scheduler(), NullText(iterations=0))
    assert len(found) == STEPS
    assert all(torch.equal(each, texts[0]) for each in found)


def test_what_is_good_enough_ends_the_optimisation(predict, texts) -> None:
    path = invert(predict, noise(1, 4, 8, 8), texts[1], scheduler())
    calls = []

    def counted(latents, timestep, text):
        calls.append(int(timestep))
        return predict(latents, timestep, text)

    null_texts(counted, path, texts, scheduler(), NullText(iterations=9, enough=1e9))
    assert calls == [int(each) for each in scheduler().timesteps for _ in range(3)]


def test_each_step_s_error_is_lowered_as_the_paper_s_equation_says(predict, texts) -> None:
    """One gradient step of Adam at the first sampling step equals a manual computation."""
    made, start = scheduler(), noise(1, 4, 8, 8)
    path = invert(predict, start, texts[1], made)
    found = null_texts(predict, path, texts, made, NullText(GUIDANCE, 1, enough=0.0))[0]
    empty = texts[0].clone().requires_grad_()
    none, told = (predict(path[-1], made.timesteps[0], text) for text in (empty, texts[1]))
    output = none + GUIDANCE * (told - none)
    here, there = made.alphas_cumprod[made.timesteps[0]], made.alphas_cumprod[made.timesteps[1]]
    picture = (path[-1] - (1 - here).sqrt() * output) / here.sqrt()
    stepped = there.sqrt() * picture + (1 - there).sqrt() * output
    (gradient,) = torch.autograd.grad((stepped - path[-2]).square().mean(), empty)
    wanted = texts[0] - 1e-2 * gradient / (gradient.abs() + 1e-8)  # Adam's first step
    torch.testing.assert_close(found, wanted, atol=1e-6, rtol=0)
