"""The first layer of a base, with room for what it is to be conditioned on."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from editloop.errors import RecipeError
from editloop.models.backbones.wanted import Wanted
from editloop.models.backbones.widening import widened

__all__ = ["with_room"]


def with_room(layer: nn.Conv2d, latents: int, folder: Path, wanted: Wanted) -> nn.Conv2d:
    """The layer, of a base in `folder`, for noisy latents, a source and perhaps a mask, in order.

    `latents` are the channels of each. Raises RecipeError where the base's channels are others,
    such as the nine of inpainting.
    """
    channels = latents * (3 if "mask" in wanted.conditions else 2)
    if layer.in_channels not in (latents, 2 * latents, channels):
        raise RecipeError(
            f"a network of {layer.in_channels} input channels cannot be given "
            f"{' and '.join(wanted.conditions)}",
            value=folder,
            fix=f"name a base with {latents} or {2 * latents} input channels"
            + (", or add mask to the conditions" if layer.in_channels == 3 * latents else ""),
        )
    return widened(layer, channels, wanted.new_weights, wanted.seed)
