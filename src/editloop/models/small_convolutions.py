"""Convolutions of small pictures as matrix products, where a processor computes them.

Libraries for convolutions bring a layer's weights into an order of their own at every call, forward
and backward. Deep in a UNet, where layers are wide and pictures small, that takes longer than the
convolution. A product of matrices takes the weights as they lie.
"""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn
from torch.nn import functional

__all__ = ["SmallConvolution", "ease_convolutions"]

_PLACES = 256  # of all pictures of a batch; with more, reordering weights no longer matters
_WEIGHTS = 2**18  # of a place of the kernel; with fewer, neither does it


class SmallConvolution(nn.Conv2d):
    """A convolution with the same weights and, but for rounding, the same answers and gradients."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """[batch, c, h, w] -> [batch, out, h', w']."""
        padding = cast("tuple[int, int]", self.padding)  # a word is not eased
        height, width = (
            (side + 2 * around - kernel) // step + 1
            for side, around, kernel, step in zip(
                input.shape[-2:], padding, self.kernel_size, self.stride, strict=True
            )
        )
        if input.device.type != "cpu" or len(input) * height * width > _PLACES:
            usual: Tensor = super()._conv_forward(input, weight, bias)
            return usual
        seen = functional.unfold(input, self.kernel_size, padding=padding, stride=self.stride)
        rows = seen.transpose(1, 2).flatten(0, 1)  # [batch * places, c * kernel]
        answer = functional.linear(rows, weight.flatten(1), bias)
        return answer.view(len(input), height, width, -1).permute(0, 3, 1, 2).contiguous()


def ease_convolutions(network: nn.Module) -> None:
    """Compute a network's wide convolutions this way where their pictures are small, in place."""
    for each in network.modules():
        if type(each) is nn.Conv2d and _is_wide(each):
            each.__class__ = SmallConvolution  # keeps its weights, hooks and name


def _is_wide(layer: nn.Conv2d) -> bool:
    if layer.groups > 1 or layer.dilation != (1, 1):
        return False
    if layer.padding_mode != "zeros" or isinstance(layer.padding, str):
        return False
    return layer.in_channels * layer.out_channels >= _WEIGHTS
