import pytest
import torch

from editloop.models.guidance import branches
from editloop.models.inputs import EditInputs
from editloop.models.sampling import noise_like, noise_schedule, sample
from editloop.models.schedules import diffusion_levels

LEVELS = diffusion_levels(noise_schedule("x0"))
TRUTH = torch.linspace(-1, 1, 2 * 3 * 4 * 4).view(2, 3, 4, 4)


def oracle(prediction):
    """A network with perfect predictions, of each kind."""

    def predict(noisy, timestep, _inputs):
        alpha, sigma = (each[timestep].view(-1, 1, 1, 1) for each in (LEVELS.alpha, LEVELS.sigma))
        noise = (noisy - alpha * TRUTH) / sigma
        answers = {"x0": TRUTH, "epsilon": noise, "v": alpha * noise - sigma * TRUTH}
        return answers[prediction]

    return predict


@pytest.mark.parametrize("steps", [1, 2, 4, 7, 50])
@pytest.mark.parametrize("prediction", ["x0", "v"])
def test_a_perfect_network_is_sampled_perfectly(prediction, steps) -> None:
    inputs = EditInputs(TRUTH, torch.zeros(2, 3, dtype=torch.long))
    made = sample(
        oracle(prediction),
        inputs,
        noise_like(TRUTH, [1, 2]),
        scheduler=noise_schedule(prediction),
        steps=steps,
        empty_text=torch.zeros(3, dtype=torch.long),
        chosen=branches(1.0, 1.0),
    )
    assert torch.allclose(made, TRUTH, atol=0.02)


def test_noise_depends_on_its_own_seed_only() -> None:
    both = noise_like(TRUTH, [5, 6])
    assert torch.equal(both[1:], noise_like(TRUTH[:1], [6]))
    assert not torch.equal(both[0], both[1])


def test_the_schedule_goes_from_the_picture_to_pure_noise() -> None:
    levels = LEVELS.alpha.square()
    assert levels[0] > 0.999
    assert levels[-1] < 1e-4
    assert (levels.diff() < 0).all()
