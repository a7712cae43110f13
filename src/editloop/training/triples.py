"""A sample's source, target and mask as pixels, checked for training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from editloop.errors import ImageError, TrainingError
from editloop.images.codec import decode, decode_mask
from editloop.images.masks import BY_CONTENT, MaskReading
from editloop.schema import EditSample, Mask, Pixels
from editloop.training.buckets import Size, View

__all__ = ["Triple", "decoded"]


@dataclass(frozen=True, slots=True, eq=False)
class Triple:
    """Source and target [height, width, 3], and the mask [height, width] or None.

    The mask marks where editing is allowed; None means everywhere, all black nowhere. `lost` is
    whether they are a crop that most of the edit lies outside of.
    """

    source: Pixels
    target: Pixels
    mask: Mask | None
    lost: bool = False

    @property
    def size(self) -> Size:
        """Height and width of all three."""
        return self.source.shape[0], self.source.shape[1]

    @property
    def whole_mask(self) -> Mask:
        """The mask, or a white one if it is None."""
        return np.full(self.size, 255, np.uint8) if self.mask is None else self.mask

    def seen(self, view: View, size: Size) -> Triple:
        """Return source, target and mask through the same view at one size."""
        return Triple(
            view.of(self.source, size),
            view.of(self.target, size),
            None if self.mask is None else view.of_mask(self.mask, size),
        )


def decoded(sample: EditSample, reading: MaskReading = BY_CONTENT) -> Triple:
    """Decode a sample's pictures; `reading` decides where its mask allows editing.

    Raises TrainingError if it has no target or its pictures differ in size, and ImageError if one
    cannot be read; each error names the sample.
    """
    if sample.target is None:
        raise TrainingError(
            "a sample without a target cannot be trained on",
            value=sample.id,
            fix="train on a split whose samples all have targets",
        )
    try:
        source, target = decode(sample.source_image.bytes), decode(sample.target.bytes)
        mask = None
        if sample.mask is not None:
            photo = sample.source_image.bytes
            mask = decode_mask(sample.mask.bytes, reading=reading, photo=photo)
    except ImageError as error:
        raise error.of(sample.id) from error
    sizes = [each.shape[:2] for each in (source, target, mask) if each is not None]
    if len(set(sizes)) > 1:
        raise TrainingError(
            "a sample's source, target and mask differ in size",
            value=f"{sample.id}: {', '.join(f'{w}x{h}' for h, w in sizes)}",
            fix="build the data set again",
        )
    return Triple(source, target, mask)
