"""Packed convolutions answer as torch's own do."""

import pytest
import torch
from torch import nn

from editloop.models.packed_convolutions import PackedConvolution, pack_convolutions


def layer(given: int = 96, made: int = 128, **options: object) -> nn.Conv2d:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Conv2d(given, made, **{"kernel_size": 3, "padding": 1, **options})


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    "options",
    [{}, {"stride": 2}, {"bias": False}, {"dilation": 2}, {"groups": 2}],
    ids=["plain", "halving", "without bias", "dilated", "grouped"],
)
def test_answers_are_those_of_torch(options: dict[str, int], dtype: torch.dtype) -> None:
    plain = layer(**options).to(dtype)
    packed = PackedConvolution(plain)
    for side in (6, 9):  # the weights lie for any size
        given = torch.randn(2, 96, side, side, generator=torch.Generator().manual_seed(1)).to(dtype)
        with torch.inference_mode():
            found, expected = packed(given), plain(given)
        assert found.shape == expected.shape
        assert (found - expected).abs().max() < {4: 1e-5, 2: 0.02}[dtype.itemsize]


def test_layers_of_many_weights_are_replaced_and_no_others() -> None:
    hooked = layer()
    hooked.register_forward_hook(lambda *_: None)
    network = nn.Sequential(
        nn.Sequential(layer()), layer(8, 8), hooked, layer(padding_mode="circular"), nn.Linear(9, 9)
    )
    pack_convolutions(network)
    kinds = [type(each) for each in (network[0][0], *list(network)[1:])]
    assert kinds == [PackedConvolution, nn.Conv2d, nn.Conv2d, nn.Conv2d, nn.Linear]
