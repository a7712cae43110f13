"""Wide convolutions of small pictures give what torch's own give."""

import pytest
import torch
from torch import nn

from editloop.models.small_convolutions import SmallConvolution, ease_convolutions


def layer(width: int = 512, **options: int) -> nn.Conv2d:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Conv2d(width, width, **{"kernel_size": 3, "padding": 1, **options})


def pictures(side: tuple[int, int], width: int = 512) -> torch.Tensor:
    return torch.randn(2, width, *side, generator=torch.Generator().manual_seed(1))


def answers(layer: nn.Conv2d, given: torch.Tensor) -> list[torch.Tensor]:
    """The answer, and the gradients of the picture, the weights and the bias."""
    given = given.clone().requires_grad_()
    answer = layer(given)
    wanted = torch.linspace(-1, 1, answer.numel()).view_as(answer)
    return [answer, *torch.autograd.grad((answer * wanted).sum(), [given, *layer.parameters()])]


@pytest.mark.parametrize(
    "options",
    [{}, {"stride": 2}, {"kernel_size": 1, "padding": 0}, {"bias": False}],
    ids=["plain", "halving", "one place", "without bias"],
)
def test_answers_and_gradients_are_those_of_torch(options: dict[str, int]) -> None:
    made = layer(**options)
    given = pictures((6, 4))
    expected = answers(made, given)
    ease_convolutions(made)
    assert type(made) is SmallConvolution
    for found, wanted in zip(answers(made, given), expected, strict=True):
        assert found.shape == wanted.shape
        assert (found - wanted).abs().max() < 1e-5 * wanted.abs().max()


def test_autocast_computes_in_bfloat16() -> None:
    made, given = layer(), pictures((4, 4))
    expected = made(given)
    ease_convolutions(made)
    with torch.autocast("cpu", torch.bfloat16):
        found = made(given)
    assert found.dtype == torch.bfloat16
    assert torch.nn.functional.cosine_similarity(found.flatten().float(), expected.flatten(), 0) > (
        0.9999
    )


def test_large_pictures_are_left_to_torch() -> None:
    made, given = layer(), pictures((16, 16))
    expected = made(given)
    ease_convolutions(made)
    assert torch.equal(made(given), expected)


def test_narrow_and_grouped_layers_stay_as_they_are() -> None:
    network = nn.Sequential(layer(32), layer(groups=2), nn.Sequential(layer()))
    names = list(network.state_dict())
    ease_convolutions(network)
    kinds = [type(network[0]), type(network[1]), type(network[2][0])]
    assert kinds == [nn.Conv2d, nn.Conv2d, SmallConvolution]
    assert list(network.state_dict()) == names
