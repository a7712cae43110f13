"""Extra input channels: a base's first layer, widened for its conditions.

InstructPix2Pix (section 3.2) initialises the source's channels to zero; UltraEdit (appendix A.4)
initialises those of source and mask at random.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from editloop.errors import RecipeError
from editloop.models.backbones.base_request import NewWeights, Wanted

__all__ = ["check_room", "widened", "with_room"]


def with_room(layer: nn.Conv2d, latents: int, folder: Path, wanted: Wanted) -> nn.Conv2d:
    """Return a base's first layer widened for noisy latents, a source and perhaps a mask, in order.

    `latents` is the number of channels of each; errors as in `check_room`.
    """
    channels = check_room(layer.in_channels, latents, folder, wanted)
    return widened(layer, channels, wanted.new_weights, wanted.seed)


def check_room(have: int, latents: int, folder: Path, wanted: Wanted) -> int:
    """Return the number of input channels for the wanted conditions, for a network with `have`.

    Raises RecipeError if the network has an unsuitable number, such as the nine of inpainting.
    """
    channels = latents * (3 if "mask" in wanted.conditions else 2)
    if have not in (latents, 2 * latents, channels):
        raise RecipeError(
            f"a network with {have} input channels cannot take {' and '.join(wanted.conditions)}",
            value=folder,
            fix=f"use a base with {latents} or {2 * latents} input channels"
            + (", or add mask to the conditions" if have == 3 * latents else ""),
        )
    return channels


def widened(layer: nn.Conv2d, channels: int, weights: NewWeights, seed: int) -> nn.Conv2d:
    """Return the layer with `channels` inputs; new weights are zero or torch's random defaults.

    Old weights are kept. A layer that already has `channels` inputs is returned unchanged; one with
    more raises ValueError.
    """
    if layer.in_channels == channels:
        return layer
    if layer.in_channels > channels:
        raise ValueError(f"{layer.in_channels} input channels cannot become {channels}")
    with torch.random.fork_rng(devices=()):  # initialised from torch's global random state
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
