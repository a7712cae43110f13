"""The sizes at which pictures are learned, and the one geometry that takes a sample to its size.

A picture is scaled until it covers its size, and what stands over is cut off: source, target and
mask alike. By default every size is the same square, so nothing is squeezed and the longer side
loses its ends. In buckets, sizes have about the area of that square in many shapes, and each
picture has the one nearest to its own.
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

_LONGEST = 4  # times as long as wide
_MOST = 16  # times as long as what is kept of it


def bucket_sizes(size: int, multiple: int) -> tuple[Size, ...]:
    """Sizes of about size x size pixels of area with sides that are multiples, up to 4:1, sorted.

    The square itself is always one of them.
    """
    longest = math.isqrt(_LONGEST) * size
    made = {(size, size)}
    for long in range(-(-size // multiple) * multiple, longest + 1, multiple):
        short = max(1, math.floor(size * size / long / multiple + 0.5)) * multiple
        made |= {(long, short), (short, long)}
    return tuple(sorted(made))


def nearest_size(height: int, width: int, sizes: Sequence[Size]) -> Size:
    """The size whose shape is nearest to a picture's: by the ratio of the ratios.

    Of two that are as near, the one with the larger area.
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
    """What is seen of a picture at a size: enlarged `zoom` times beyond what covers it, cut at a
    `place` (0 top or left, 1 bottom or right), flipped left to right or not.
    """

    zoom: float = 1.0
    place: tuple[float, float] = (0.5, 0.5)
    flip: bool = False

    def of(self, pixels: Pixels, size: Size) -> Pixels:
        """The view of a picture [height, width, 3] at a size."""
        seen = self._shortened(pixels, size)
        scaled = resize(seen, *self._covering(seen.shape, size))
        return self._flipped(self._cut(scaled, size))

    def of_mask(self, mask: Mask, size: Size) -> Mask:
        """The same view of the picture's mask [height, width]; it stays one of 0 and 255.

        A region that is cut off is gone: then nothing in the view may change.
        """
        seen = self._shortened(mask, size)
        scaled = resized_mask(seen, self._covering(seen.shape, size))
        return self._flipped(self._cut(scaled, size))

    def _shortened(self, pixels: Pixels, size: Size) -> Pixels:
        """A picture or mask without the far ends of a very long one, which are cut off anyway: a
        line of pixels that is scaled until it covers a square would fill the memory.
        """
        factor = self._factor(pixels.shape, size)
        height, width = (math.ceil(_MOST * want / factor) for want in size)
        return self._cut(pixels, (height, width))

    def _factor(self, shape: tuple[int, ...], size: Size) -> float:
        return self.zoom * max(want / have for want, have in zip(size, shape, strict=False))

    def _covering(self, shape: tuple[int, ...], size: Size) -> Size:
        """The height and width to scale to, each at least the size's."""
        factor = self._factor(shape, size)
        height, width = (
            max(want, math.floor(have * factor + 0.5))
            for want, have in zip(size, shape, strict=False)
        )
        return height, width

    def _cut(self, pixels: Pixels, size: Size) -> Pixels:
        """What is at the view's place, at most of a size."""
        top, left = (
            math.floor(max(0, have - want) * place)
            for have, want, place in zip(pixels.shape, size, self.place, strict=False)
        )
        return pixels[top : top + size[0], left : left + size[1]]

    def _flipped(self, pixels: Pixels) -> Pixels:
        return pixels[:, ::-1] if self.flip else pixels


CENTRE = View()
