"""Masks for editing and training: resized, softened, or as pictures for an encoder."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from editloop.schema import Mask, Pixels

__all__ = ["mask_picture", "resized_mask", "soft_mask"]


def resized_mask(mask: Mask, size: tuple[int, int]) -> Mask:
    """Resize a mask: a pixel is white if at least half of its area is white.

    If no pixel is, those with the largest white share are white: a region never vanishes, since a
    blank mask would mean everywhere.
    """
    if mask.shape == size:
        return mask
    share = np.asarray(
        Image.fromarray(mask.astype(np.float32)).resize(size[::-1], Image.Resampling.BOX)
    )
    half = min(127.5, float(share.max()))
    return ((share >= half) & (share > 0)) * np.uint8(255)


def soft_mask(fine: Mask, softness: float) -> NDArray[np.uint8]:
    """Return the soft mask M_s of UltraEdit's equation 2, [height, width].

    It is the fine mask M_f (0 or 255), with `softness` s in 0..1, as 255 s, in the rest of its
    bounding box M_b. A mask without a region is returned unchanged.
    """
    rows, columns = (np.flatnonzero(fine.any(axis)) for axis in (1, 0))
    if not len(rows):
        return fine
    made = fine.copy()
    box = made[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    box[box == 0] = round(255 * softness)
    return made


def mask_picture(mask: NDArray[np.uint8]) -> Pixels:
    """Return a mask [height, width] as a grey picture [height, width, 3] for an autoencoder."""
    return np.repeat(mask[..., None], 3, axis=-1)
