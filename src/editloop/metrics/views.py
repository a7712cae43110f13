"""How an encoder sees a picture: resized, cropped and normalised exactly as its release does it.

The rules are torchvision's, stated with Pillow and NumPy: `Resize(n)` brings the shorter side to n
and the longer one to int(n * long / short) by Pillow's filter, `CenterCrop(n)` starts at
int(round((side - n) / 2)). Image processors of other libraries round that down, which shifts a
picture by a pixel where the difference is odd.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from editloop.schema import Pixels

__all__ = ["VERSION", "Crop", "Input", "View", "interpolated", "shorter_side"]

VERSION = 1  # of the rules below: an embedding made by other rules is another embedding

Input: TypeAlias = NDArray[np.float32]  # [3, height, width]
Crop: TypeAlias = Literal["centre", "none", "nearest"]


@dataclass(frozen=True, slots=True)
class View:
    """What becomes of a picture before it is encoded.

    `crop` says how it gets the encoder's size:
    - `centre`: the shorter side to `side` (bicubic), then the middle `size` x `size`;
    - `none`: the whole picture to `size` x `size`, bicubic, as InstructPix2Pix does it;
    - `nearest`: the whole picture to `size` x `size` by the nearest pixel, as UltraEdit does it.
    """

    size: int
    side: int
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    crop: Crop = "centre"

    def apply(self, pixels: Pixels) -> Input:
        """The encoder's input, [3, size, size]."""
        mean, std = np.array(self.mean, np.float32), np.array(self.std, np.float32)
        values: Input = (self._sized(pixels) - mean) / std
        return np.ascontiguousarray(values.transpose(2, 0, 1))

    def _sized(self, pixels: Pixels) -> NDArray[np.float32]:
        """[size, size, 3] in about [0, 1]."""
        if self.crop == "centre":
            return _unit(_middle(shorter_side(pixels, self.side), self.size))
        mode = "nearest" if self.crop == "nearest" else "bicubic"
        return interpolated(_unit(pixels), (self.size, self.size), mode)


def interpolated(
    values: NDArray[np.float32], size: tuple[int, int], mode: str
) -> NDArray[np.float32]:
    """A picture [h, w, 3] at a (height, width) by `torch.nn.functional.interpolate`, unsmoothed."""
    from torch import from_numpy
    from torch.nn.functional import interpolate

    given = from_numpy(values).permute(2, 0, 1)[None]
    corners = None if mode == "nearest" else False
    made = interpolate(given, size=size, mode=mode, align_corners=corners)
    found: NDArray[np.float32] = made[0].permute(1, 2, 0).numpy()
    return found


def shorter_side(pixels: Pixels, side: int) -> Pixels:
    """The picture with its shorter side at `side` px, bicubic; the longer side is rounded down."""
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
