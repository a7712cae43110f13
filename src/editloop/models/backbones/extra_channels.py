"""The first layer of a base, with room for what it is to be conditioned on."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from editloop.errors import RecipeError
from editloop.models.backbones.base_request import Wanted
from editloop.models.backbones.widening import widened

__all__ = ["check_room", "with_room"]


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
