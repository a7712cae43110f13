"""The resizing of samples to the training size, with hard or soft masks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from editloop.images.masks import BY_CONTENT, MaskReading
from editloop.models.masks import soft_mask
from editloop.runtime.seeding import generator
from editloop.schema import EditSample
from editloop.training.buckets import CENTRE, Size, View, bucket_sizes, nearest_size
from editloop.training.cropping import cropped
from editloop.training.triples import Triple, decoded

__all__ = ["Crop", "Framing"]

Crop: TypeAlias = Literal["edit", "centre"]


@dataclass(frozen=True, slots=True)
class Framing:
    """The settings that bring samples of any size to one training size, or to a few.

    size: the square's side in pixels; buckets: whether pictures roughly keep their aspect ratio, in
    sizes of about the square's area whose sides are multiples of `multiple`; soft_masks: the range
    of s (UltraEdit, equation 2), random for each sample and seeded by its id; None keeps masks of 0
    and 255. crop: whether a view is moved so that it keeps the edited region, or not. reading:
    where masks allow editing.
    """

    size: int
    buckets: bool = False
    multiple: int = 64
    soft_masks: tuple[float, float] | None = None
    crop: Crop = "edit"
    reading: MaskReading = BY_CONTENT

    @property
    def sizes(self) -> tuple[Size, ...]:
        """All training sizes."""
        if self.buckets:
            return bucket_sizes(self.size, self.multiple)
        return ((self.size, self.size),)

    def size_of(self, height: int, width: int) -> Size:
        """Return the training size for a picture's height and width."""
        return nearest_size(height, width, self.sizes)

    def of(self, sample: EditSample, view: View = CENTRE) -> Triple:
        """Return a sample's pictures through a view, at their size; errors as in `decoded`."""
        whole = decoded(sample, self.reading)
        size = self.size_of(*whole.size)
        seen = cropped(whole, view, size, around_edit=self.crop == "edit")
        if seen.mask is None or self.soft_masks is None:
            return seen
        softness = generator("soft-mask", sample.id).uniform(*self.soft_masks)
        return replace(seen, mask=soft_mask(seen.mask, softness))
