"""Room for more input: a denoiser's first layer, widened for a source and a mask.

InstructPix2Pix (section 3.2) adds the source's channels with weights of zero; UltraEdit (appendix
A.4) draws those of source and mask at random.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
from torch import nn

__all__ = ["NewWeights", "widened"]

NewWeights: TypeAlias = Literal["zero", "random"]


def widened(layer: nn.Conv2d, channels: int, weights: NewWeights, seed: int) -> nn.Conv2d:
    """The layer with `channels` inputs: the old ones as they were, new ones zero or as torch draws.

    A layer that has as many already is returned itself; one with more is never narrowed
    (ValueError).
    """
    if layer.in_channels == channels:
        return layer
    if layer.in_channels > channels:
        raise ValueError(f"{layer.in_channels} input channels cannot become {channels}")
    with torch.random.fork_rng(devices=()):  # torch draws initial weights from global state
        torch.manual_seed(seed)
        wide = nn.Conv2d(
            channels,
            layer.out_channels,
            layer.kernel_size,  # type: ignore[arg-type]
            layer.stride,  # type: ignore[arg-type]
            layer.padding,  # type: ignore[arg-type]
            bias=layer.bias is not None,
        ).to(layer.weight.device, layer.weight.dtype)
    with torch.no_grad():
        if weights == "zero":
            wide.weight.zero_()
        wide.weight[:, : layer.in_channels] = layer.weight
        if layer.bias is not None and wide.bias is not None:
            wide.bias.copy_(layer.bias)
    return wide
