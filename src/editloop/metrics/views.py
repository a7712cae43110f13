"""Preprocessing of pictures for encoders: resize, crop and normalise exactly as in their releases.

The rules are torchvision's, implemented with Pillow and NumPy: `Resize(n)` resizes the shorter side
to n and the longer one to int(n * long / short) with Pillow's filter, `CenterCrop(n)` starts at
int(round((side - n) / 2)). Image processors of other libraries round that down, which shifts a
picture by a pixel if the difference is odd.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from editloop.schema import Pixels

__all__ = ["VERSION", "Crop", "Input", "Values", "View", "interpolated", "shorter_side"]

VERSION = 1  # of the rules below, which determine embeddings

Input: TypeAlias = NDArray[np.float32]  # [3, height, width]
Crop: TypeAlias = Literal["centre", "none", "nearest"]
Values: TypeAlias = Literal["unit", "signed"]


@dataclass(frozen=True, slots=True)
class View:
    """The preprocessing of a picture for an encoder.

    `crop` is how it gets the encoder's size:
    - `centre`: resize the shorter side to `side` (bicubic), then crop the middle `size` x `size`;
    - `none`: resize the whole picture to `size` x `size` (bicubic), as InstructPix2Pix does;
    - `nearest`: resize the whole picture to `size` x `size` (nearest neighbour), as UltraEdit does.

    `values` before normalising are in [0, 1] (`unit`), which encoders are trained on, or in [-1, 1]
    (`signed`), which InstructPix2Pix's released evaluation gives them.
    """

    size: int
    side: int
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    crop: Crop = "centre"
    values: Values = "unit"

    def apply(self, pixels: Pixels) -> Input:
        """Return the encoder's input, [3, size, size]."""
        mean, std = np.array(self.mean, np.float32), np.array(self.std, np.float32)
        sized = self._sized(pixels)
        if self.values == "signed":
            sized = 2 * sized - 1
        values: Input = (sized - mean) / std
        return np.ascontiguousarray(values.transpose(2, 0, 1))

    def _sized(self, pixels: Pixels) -> NDArray[np.float32]:
        """Return the picture at the encoder's size: [size, size, 3] in about [0, 1]."""
        if self.crop == "centre":
            return _unit(_middle(shorter_side(pixels, self.side), self.size))
        mode = "nearest" if self.crop == "nearest" else "bicubic"
        return interpolated(_unit(pixels), (self.size, self.size), mode)


def interpolated(
    values: NDArray[np.float32], size: tuple[int, int], mode: str
) -> NDArray[np.float32]:
    """Return a picture [h, w, 3] resized by PyTorch's `interpolate`, without antialiasing."""
    from torch import from_numpy
    from torch.nn.functional import interpolate

    given = from_numpy(values).permute(2, 0, 1)[None]
    corners = None if mode == "nearest" else False
    made = interpolate(given, size=size, mode=mode, align_corners=corners)
    found: NDArray[np.float32] = made[0].permute(1, 2, 0).numpy()
    return found


def shorter_side(pixels: Pixels, side: int) -> Pixels:
    """Return the picture with a shorter side of `side` px, bicubic; rounds the longer side down."""
    height, width = pixels.shape[:2]
    if min(height, width) == side:
        return pixels
    long = int(side * max(height, width) / min(height, width))
    size = (side, long) if width <= height else (long, side)
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))


def _middle(pixels: Pixels, size: int) -> Pixels:
    top, left = (round((side - size) / 2) for side in pixels.shape[:2])
    return pixels[top : top + size, left : left + size]


def _unit(pixels: Pixels) -> NDArray[np.float32]:
    return pixels.astype(np.float32) / np.float32(255)
