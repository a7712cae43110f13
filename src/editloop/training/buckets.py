"""Training sizes, and the resize and crop that brings a sample to its size.

Source, target and mask are scaled in the same way until they cover the size, and the excess is
cropped. By default there is one square size: pictures keep their aspect ratio and lose the ends of
their longer side. With buckets, there are sizes of many shapes with about the square's area, and
each picture gets the size whose shape is nearest to its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from editloop.images.codec import resize
from editloop.models.masks import resized_mask
from editloop.schema import Mask, Pixels

__all__ = ["CENTRE", "Size", "View", "bucket_sizes", "nearest_size"]

Size: TypeAlias = tuple[int, int]  # height, width

_LONGEST = 4  # the largest aspect ratio of a bucket
_MOST = 16  # a picture may be this many times as long as the part that is kept


def bucket_sizes(size: int, multiple: int) -> tuple[Size, ...]:
    """Return sizes of about size x size pixels in area, up to 4:1, sorted.

    Their sides are multiples of `multiple`. The square itself is always included.
    """
    longest = math.isqrt(_LONGEST) * size
    made = {(size, size)}
    for long in range(-(-size // multiple) * multiple, longest + 1, multiple):
        short = max(1, math.floor(size * size / long / multiple + 0.5)) * multiple
        made |= {(long, short), (short, long)}
    return tuple(sorted(made))


def nearest_size(height: int, width: int, sizes: Sequence[Size]) -> Size:
    """Return the size whose aspect ratio is nearest to a picture's (by the ratio of the two).

    Of two equally near sizes, return the one with the larger area.
    """
    return min(
        sizes,
        key=lambda size: (
            round(abs(math.log(size[0] * width / (size[1] * height))), 9),
            -size[0] * size[1],
        ),
    )


@dataclass(frozen=True, slots=True)
class View:
    """A crop of a picture at a size.

    The picture is enlarged `zoom` times beyond the scale that covers the size, cropped at `place`
    (0 top or left, 1 bottom or right), and flipped left to right if `flip`.
    """

    zoom: float = 1.0
    place: tuple[float, float] = (0.5, 0.5)
    flip: bool = False

    def window(self, shape: Size, size: Size) -> Size:
        """Return the height and width, in a picture's pixels, of the part that is seen."""
        factor = self._factor(shape, size)
        height, width = (
            min(have, math.floor(want / factor + 0.5))
            for want, have in zip(size, shape, strict=True)
        )
        return height, width

    def of(self, pixels: Pixels, size: Size) -> Pixels:
        """Return the view of a picture [height, width, 3] at a size."""
        seen = self._shortened(pixels, size)
        scaled = resize(seen, *self._covering(seen.shape, size))
        return self._flipped(self._cut(scaled, size))

    def of_mask(self, mask: Mask, size: Size) -> Mask:
        """Return the same view of the picture's mask [height, width], with values 0 and 255.

        If the mask's region lies outside the crop, the result is all 0: nothing may change.
        """
        seen = self._shortened(mask, size)
        scaled = resized_mask(seen, self._covering(seen.shape, size))
        return self._flipped(self._cut(scaled, size))

    def _shortened(self, pixels: Pixels, size: Size) -> Pixels:
        """Crop the far ends of a very long picture or mask before it is scaled.

        They are cropped later anyway, and scaling a line of pixels to cover a square would fill
        the memory.
        """
        factor = self._factor(pixels.shape, size)
        height, width = (math.ceil(_MOST * want / factor) for want in size)
        return self._cut(pixels, (height, width))

    def _factor(self, shape: tuple[int, ...], size: Size) -> float:
        return self.zoom * max(want / have for want, have in zip(size, shape, strict=False))

    def _covering(self, shape: tuple[int, ...], size: Size) -> Size:
        """Return the height and width to scale to, each at least the size's."""
        factor = self._factor(shape, size)
        height, width = (
            max(want, math.floor(have * factor + 0.5))
            for want, have in zip(size, shape, strict=False)
        )
        return height, width

    def _cut(self, pixels: Pixels, size: Size) -> Pixels:
        """Crop to at most `size` at the view's place."""
        top, left = (
            math.floor(max(0, have - want) * place)
            for have, want, place in zip(pixels.shape, size, self.place, strict=False)
        )
        return pixels[top : top + size[0], left : left + size[1]]

    def _flipped(self, pixels: Pixels) -> Pixels:
        return pixels[:, ::-1] if self.flip else pixels


CENTRE = View()
