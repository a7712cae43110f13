"""The masks of existing data sets, read once where they come in.

Afterwards a mask reads the same everywhere without a rule, and fits its upright photo.
"""

from __future__ import annotations

import numpy as np

from editloop.errors import ImageError
from editloop.images.codec import decode_mask, encode_png, is_plain
from editloop.images.masks import BY_CONTENT, MaskReading
from editloop.schema import Image, Mask

__all__ = ["settled"]


def settled(image: Image, source: Image, reading: MaskReading) -> tuple[Image, Mask]:
    """Return a mask that reads without a rule as `reading` does, and its pixels.

    It keeps its bytes if they already read so. Raises the errors of `decode_mask`.
    """
    mask = decode_mask(image.bytes, reading=reading, photo=source.bytes)
    if (reading == BY_CONTENT and is_plain(source.bytes)) or _reads_as(image, mask):
        return image, mask
    return Image(encode_png(mask), image.path), mask


def _reads_as(image: Image, mask: Mask) -> bool:
    try:
        return np.array_equal(decode_mask(image.bytes), mask)
    except ImageError:
        return False
