"""3 x 3 convolutions by fewer products: for networks that only predict, in float32 on a CPU.

Winograd's minimal filtering: the outputs of a tile of `side` x `side` places take (side + 2)^2
products for each pair of channels, where the convolution takes 9 side^2. Products of one place of
all tiles are one product of matrices, whose weights are brought into their form once.

Source: Lavin & Gray, "Fast Algorithms for Convolutional Neural Networks" (2016), section 4; points
that round least: Barabasz et al., "Error Analysis and Improving the Accuracy of Winograd
Convolution for Deep Neural Networks" (2020).
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["WinogradConvolution", "use_winograd"]

_KERNEL = 3
_POINTS = {2: (0, 1, -1), 4: (0, 1, -1, 0.5, -2)}  # by the side of a tile; infinity is another
_NARROWEST, _WIDE = 256, 320 * 320  # channels, and products of a place: with fewer it is no faster
_WIDEST = 3 * 2**19  # products of a place: with more, larger tiles take too much memory
_TILES = 512  # worked on at a time, so that they stay near the processor


class WinogradConvolution(nn.Module):
    """A convolution 3 x 3, step 1, padding 1, equal to the one it is made of but for rounding.

    It rounds about twice as coarsely as that with tiles of side 2, ten times with side 4, and its
    weights take 16/9 or 4 times the room. It learns nothing.
    """

    weight: Tensor  # [(side + 2)^2, out, in]
    bias: Tensor | None
    _read: Tensor  # [(side + 2)^2, (side + 2)^2]: from the places of a tile that is read
    _write: Tensor  # [side^2, (side + 2)^2]: to those of one that is written

    def __init__(self, layer: nn.Conv2d, side: int) -> None:
        super().__init__()
        self._side = side
        own = layer.weight.detach().flatten(2).permute(2, 0, 1)  # [9, out, in]
        write, kernel, read = (
            torch.from_numpy(np.kron(each, each)).to(own) for each in _forms(side)
        )
        self.register_buffer("weight", (kernel @ own.flatten(1)).view(-1, *own.shape[1:]))
        self.register_buffer("bias", None if layer.bias is None else layer.bias.detach())
        self.register_buffer("_read", read)
        self.register_buffer("_write", write)

    def forward(self, input: Tensor) -> Tensor:
        """[batch, in, h, w] -> [batch, out, h, w]."""
        (batch, _, height, width), side = input.shape, self._side
        down, across = -(-height // side), -(-width // side)
        right, below = across * side - width, down * side - height
        padded = functional.pad(input, (1, 1 + right, 1, 1 + below))
        out = self.weight.shape[1]
        answer = input.new_empty(batch, out, down, side, across, side)
        strip = max(1, _TILES // (batch * across))
        for top in range(0, down, strip):
            rows = min(strip, down - top)
            tiles = self._tiles(padded, top, rows)
            products = torch.bmm(self.weight, tiles).flatten(1)
            made = (self._write @ products).view(side, side, out, batch, rows, across)
            answer[:, :, top : top + rows] = made.permute(3, 2, 4, 0, 5, 1)
        flat = answer.view(batch, out, down * side, across * side)[..., :height, :width]
        return flat.contiguous() if self.bias is None else flat + self.bias[:, None, None]

    def _tiles(self, padded: Tensor, top: int, rows: int) -> Tensor:
        """Rows of tiles as products need them: [(side + 2)^2, in, batch * rows * tiles]."""
        reach = self._side + _KERNEL - 1
        seen = padded[:, :, top * self._side : (top + rows) * self._side + _KERNEL - 1]
        tiles = seen.unfold(2, reach, self._side).unfold(3, reach, self._side)
        places = tiles.permute(4, 5, 1, 0, 2, 3).reshape(reach**2, -1)
        return (self._read @ places).view(reach**2, padded.shape[1], -1)


def use_winograd(network: nn.Module) -> None:
    """Replace a network's wide convolutions of this kind, whose weights go; hooked ones stay."""
    for parent in list(network.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, nn.Conv2d) and _is_wide(layer):
                products = layer.in_channels * layer.out_channels
                setattr(parent, name, WinogradConvolution(layer, 4 if products < _WIDEST else 2))


def _is_wide(layer: nn.Conv2d) -> bool:
    same = layer.kernel_size == (3, 3) and layer.padding == layer.stride == layer.dilation == (1, 1)
    if not same or layer.groups > 1 or layer.padding_mode != "zeros" or layer._forward_hooks:
        return False
    channels = layer.in_channels, layer.out_channels
    return min(channels) >= _NARROWEST and channels[0] * channels[1] >= _WIDE


@cache
def _forms(side: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """What brings products to outputs, a kernel and inputs to products, along one side.

    [side, side + 2], [side + 2, 3] and [side + 2, side + 2]: polynomials of the kernel and of the
    inputs are multiplied by their values at the points (Toom and Cook), and transposed.
    """
    points = np.array(_POINTS[side])
    reach = side + _KERNEL - 1
    output = np.zeros((side, reach))
    kernel = np.zeros((reach, _KERNEL))
    read = np.zeros((reach, reach))
    for at, point in enumerate(points):
        others = np.delete(points, at)
        output[:, at] = point ** np.arange(side)
        kernel[at] = point ** np.arange(_KERNEL) / np.prod(point - others)
        read[at, :-1] = np.poly(others)[::-1]
    output[-1, -1] = kernel[-1, -1] = 1
    read[-1] = np.poly(points)[::-1]
    return output, kernel, read
