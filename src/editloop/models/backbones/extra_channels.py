"""Extra input channels: a base's first layer, widened for what it is conditioned on.

InstructPix2Pix (section 3.2) adds the source's channels with weights of zero; UltraEdit (appendix
A.4) draws those of source and mask at random.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from editloop.errors import RecipeError
from editloop.models.backbones.base_request import NewWeights, Wanted

__all__ = ["check_room", "widened", "with_room"]


def with_room(layer: nn.Conv2d, latents: int, folder: Path, wanted: Wanted) -> nn.Conv2d:
    """The layer, of a base in `folder`, for noisy latents, a source and perhaps a mask, in order.

    `latents` are the channels of each; errors as of `check_room`.
    """
    channels = check_room(layer.in_channels, latents, folder, wanted)
    return widened(layer, channels, wanted.new_weights, wanted.seed)


def check_room(have: int, latents: int, folder: Path, wanted: Wanted) -> int:
    """The channels that a network of `have` input channels gets for what is wanted.

    Raises RecipeError where its channels are others, such as the nine of inpainting.
    """
    channels = latents * (3 if "mask" in wanted.conditions else 2)
    if have not in (latents, 2 * latents, channels):
        raise RecipeError(
            f"a network of {have} input channels cannot be given {' and '.join(wanted.conditions)}",
            value=folder,
            fix=f"name a base with {latents} or {2 * latents} input channels"
            + (", or add mask to the conditions" if have == 3 * latents else ""),
        )
    return channels


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
