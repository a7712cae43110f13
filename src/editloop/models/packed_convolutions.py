"""Convolutions whose weights lie in the order that the library for CPUs computes with.

oneDNN brings weights into an order of its own at every call. In a UNet, where layers are wide and
pictures small, that takes longer than the convolution itself, above all in bfloat16.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

__all__ = ["PackedConvolution", "pack_convolutions"]

_WORTH = 2**16  # weights; with fewer, their order doesn't matter


class PackedConvolution(nn.Module):
    """A convolution with the answers of the one it is made of; it learns nothing.

    The weights are a tensor of oneDNN's own layout, on a CPU, and are neither saved nor moved.
    """

    def __init__(self, layer: nn.Conv2d) -> None:
        super().__init__()
        around = cast("tuple[int, int]", layer.padding)  # a word is not packed
        self._how = [*around], [*layer.stride], [*layer.dilation], layer.groups
        self._weight = torch._C._nn.mkldnn_reorder_conv2d_weight(
            layer.weight.detach().to_mkldnn(), *self._how
        )
        self._bias = None if layer.bias is None else layer.bias.detach()

    def forward(self, input: Tensor) -> Tensor:
        """[batch, in, h, w] -> [batch, out, h', w']."""
        answer: Tensor = torch.mkldnn_convolution(input, self._weight, self._bias, *self._how)
        return answer


def pack_convolutions(network: nn.Module) -> None:
    """Replace a network's convolutions of many weights, which are let go; hooked ones stay."""
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return
    for parent in list(network.modules()):
        for name, layer in list(parent.named_children()):
            if type(layer) is nn.Conv2d and _is_worth_it(layer):
                setattr(parent, name, PackedConvolution(layer))


def _is_worth_it(layer: nn.Conv2d) -> bool:
    if layer.padding_mode != "zeros" or isinstance(layer.padding, str):
        return False
    return layer.weight.numel() >= _WORTH and not layer._forward_hooks
