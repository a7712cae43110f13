"""Place pictures in the sizes that an image server takes, and map its pictures back.

A picture is scaled to fit into the frame, keeping its aspect ratio, and its border is repeated in
what stays free, so nothing is distorted. Back from the frame, the picture's place is cut out. A
picture of another size than the frame's can be mapped back if it has the frame's aspect ratio;
otherwise it is not known where the source lies in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from editloop.editors.geometry import Size, nearest_in_shape, resized
from editloop.models.masks import resized_mask
from editloop.schema import Mask, Pixels

__all__ = ["MULTIPLE", "VERSION", "Frame", "frame_for"]

VERSION = "1"
MULTIPLE = 16  # pixels, of which models take multiples


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame (height, width), the size of the picture inside, and its top left corner."""

    size: Size
    inner: Size
    corner: tuple[int, int]

    def place(self, pixels: Pixels) -> Pixels:
        """Return a picture in the frame, with its border repeated around it."""
        return np.pad(resized(pixels, self.inner), (*self._free, (0, 0)), "edge")

    def place_mask(self, mask: Mask) -> Mask:
        """Return a mask in the frame; editing is not allowed around it."""
        return np.pad(resized_mask(mask, self.inner), self._free)

    def cut(self, made: Pixels) -> Pixels | None:
        """Return the picture inside a frame, at `inner`; None if the frame has another shape."""
        height, width = made.shape[:2]
        if abs(width * self.size[0] - height * self.size[1]) > max(self.size):  # one pixel
            return None
        whole = resized(made, self.size)
        (top, left), (rows, columns) = self.corner, self.inner
        return np.ascontiguousarray(whole[top : top + rows, left : left + columns])

    @property
    def _free(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """The free rows above and below, and the free columns left and right."""
        (top, left), (rows, columns), (height, width) = self.corner, self.inner, self.size
        return (top, height - rows - top), (left, width - columns - left)


def frame_for(size: Size, sizes: Sequence[Size] | int) -> Frame:
    """Return the frame for a picture of a size: the size nearest in shape, or a multiple.

    With a multiple, the picture keeps its size, and the frame's sides are rounded up to it.
    """
    if isinstance(sizes, int):
        height, width = (-(-side // sizes) * sizes for side in size)
        inner = size
    else:
        height, width = nearest_in_shape(*size, sizes)
        factor = min(height / size[0], width / size[1])
        inner = (
            min(height, max(1, round(size[0] * factor))),
            min(width, max(1, round(size[1] * factor))),
        )
    corner = ((height - inner[0]) // 2, (width - inner[1]) // 2)
    return Frame((height, width), inner, corner)
