"""Encode pictures and masks to a denoiser's latents, with a cache for repeated ones."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from editloop.models.backbones.model import DiffusionModel
from editloop.schema import Mask, Pixels

__all__ = ["Shown"]

_KEPT = 64  # cached latents, 64 kB each at 512 px


class Shown:
    """A cache of latents by content; each is encoded alone, so it depends on its picture only."""

    def __init__(self, model: DiffusionModel) -> None:
        self._model = model
        self._seen: OrderedDict[tuple[tuple[int, ...], bytes], Tensor] = OrderedDict()

    def pictures(self, pictures: Sequence[Pixels]) -> Tensor:
        """Return the latents [pictures, c, h, w] of pictures [height, width, 3] of one size."""
        return torch.cat([self._one(each) for each in pictures])

    def masks(self, masks: Sequence[Mask]) -> Tensor:
        """Return the latents [masks, c, h, w] of masks [height, width] of one size.

        Masks are white where editing is allowed.
        """
        return torch.cat(
            [
                self._model.blank_mask(*each.shape)
                if each.all()
                else self._one(np.repeat(each[..., None], 3, axis=-1))
                for each in masks
            ]
        )

    def _one(self, pixels: Pixels) -> Tensor:
        key = pixels.shape, hashlib.blake2b(pixels.tobytes()).digest()
        if key not in self._seen:
            self._seen[key] = self._model.shown(torch.from_numpy(pixels[None].copy()))
            if len(self._seen) > _KEPT:
                self._seen.popitem(last=False)
        self._seen.move_to_end(key)
        return self._seen[key]
