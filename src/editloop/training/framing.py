"""The size at which a sample is learned, and what its mask is like there."""

from __future__ import annotations

from dataclasses import dataclass

from editloop.models.masks import soft_mask
from editloop.runtime.seeding import generator
from editloop.schema import EditSample
from editloop.training.buckets import CENTRE, Size, View, bucket_sizes, nearest_size
from editloop.training.triples import Triple, decoded

__all__ = ["Framing"]


@dataclass(frozen=True, slots=True)
class Framing:
    """How samples of any size become pictures of one size, or of a few.

    size: pixels of the square's side; buckets: whether pictures keep about their shape, in sizes of
    about the square's area whose sides are multiples of `multiple`; soft_masks: the range of s
    (UltraEdit, equation 2), drawn for each sample by its id; None leaves masks of 0 and 255.
    """

    size: int
    buckets: bool = False
    multiple: int = 64
    soft_masks: tuple[float, float] | None = None

    @property
    def sizes(self) -> tuple[Size, ...]:
        """All sizes that pictures may get."""
        if self.buckets:
            return bucket_sizes(self.size, self.multiple)
        return ((self.size, self.size),)

    def size_of(self, height: int, width: int) -> Size:
        """The size that a picture gets."""
        return nearest_size(height, width, self.sizes)

    def of(self, sample: EditSample, view: View = CENTRE) -> Triple:
        """A sample's pictures through a view, at their size; errors as of `decoded`."""
        whole = decoded(sample)
        seen = whole.seen(view, self.size_of(*whole.size))
        if seen.mask is None or self.soft_masks is None:
            return seen
        softness = generator("soft-mask", sample.id).uniform(*self.soft_masks)
        return Triple(seen.source, seen.target, soft_mask(seen.mask, softness))
