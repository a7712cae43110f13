"""Convolutions by fewer products give what torch's own give, but for rounding."""

import pytest
import torch
from torch import nn

from editloop.models.winograd_convolutions import WinogradConvolution, use_winograd


def layer(given: int = 8, made: int = 6, **options: object) -> nn.Conv2d:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Conv2d(given, made, **{"kernel_size": 3, "padding": 1, **options})


def pictures(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("side", [2, 4])
@pytest.mark.parametrize("size", [(8, 8), (7, 9), (1, 3), (130, 66)])
@pytest.mark.parametrize("bias", [True, False])
def test_answers_are_those_of_torch(side: int, size: tuple[int, int], bias: bool) -> None:
    """Of sizes that tiles do not fill, and of more tiles than are worked on at a time."""
    plain, given = layer(bias=bias).double(), pictures(2, 8, *size).double()
    with torch.inference_mode():
        expected = plain(given)
        found = WinogradConvolution(plain, side)(given)
    assert found.shape == expected.shape
    assert found.is_contiguous()
    assert (found - expected).abs().max() < 1e-13


@pytest.mark.parametrize(("side", "coarser"), [(2, 4.0), (4, 20.0)])
def test_rounding_is_little_coarser_than_torch_s(side: int, coarser: float) -> None:
    plain, given = layer(256, 256), pictures(1, 256, 16, 16)
    with torch.inference_mode():
        usual, found = plain(given), WinogradConvolution(plain, side)(given)
        exact = plain.double()(given.double())
    off, usually_off = ((each - exact).pow(2).mean().sqrt() for each in (found, usual))
    assert off < coarser * usually_off


def test_wide_layers_are_replaced_and_no_others() -> None:
    wide = layer(512, 256)
    network = nn.Sequential(
        nn.Sequential(wide),
        layer(1280, 1280),
        layer(32, 32),
        layer(512, 256, stride=2),
        layer(512, 256, groups=2),
        layer(512, 256, kernel_size=1, padding=0),
        layer(512, 256, padding_mode="reflect"),
    )
    use_winograd(network)
    kinds = [type(each) for each in (network[0][0], *list(network)[1:])]
    assert kinds == [WinogradConvolution] * 2 + [nn.Conv2d] * 5
    assert len(network[0][0].weight) == 36  # tiles of side 4
    assert len(network[1].weight) == 16  # tiles of side 2, as so many weights take room
    given = pictures(1, 512, 8, 8)
    with torch.inference_mode():
        assert (network[0](given) - wide(given)).abs().max() < 1e-4
