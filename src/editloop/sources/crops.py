"""The crop of a picture that a sample shows, stored as numbers that reproduce its pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np

from editloop.images.codec import resize
from editloop.schema import Json, Pixels

__all__ = ["Crop"]


@dataclass(frozen=True, slots=True)
class Crop:
    """A rectangle of a picture in pixels from its top left, its output size, a horizontal flip."""

    x: int
    y: int
    width: int
    height: int
    to_width: int
    to_height: int
    flip: bool = False

    @classmethod
    def centre(cls, width: int, height: int, size: int) -> Crop:
        """Return the largest centred square, resized to `size` x `size`."""
        side = min(width, height)
        return cls((width - side) // 2, (height - side) // 2, side, side, size, size)

    @classmethod
    def whole(cls, width: int, height: int, max_side: int = 0) -> Crop:
        """Return the whole picture, shrunk so that no side exceeds `max_side` (0: unchanged)."""
        longest = max(width, height)
        shrink = min(1.0, max_side / longest) if max_side else 1.0
        to_width, to_height = (max(1, round(side * shrink)) for side in (width, height))
        return cls(0, 0, width, height, to_width, to_height)

    @classmethod
    def from_json(cls, value: Mapping[str, Json]) -> Crop:
        """Return the crop that `to_json` wrote."""
        return cls(**value)

    def to_json(self) -> dict[str, Json]:
        """Return the crop as `Provenance.parameters["crop"]` stores it."""
        return asdict(self)

    def cut(self, picture: Pixels) -> Pixels:
        """Return a copy of the crop's pixels, [to_height, to_width, 3]."""
        part = picture[self.y : self.y + self.height, self.x : self.x + self.width]
        if part.shape[:2] != (self.to_height, self.to_width):
            part = resize(part, self.to_height, self.to_width)
        return np.array(part[:, ::-1] if self.flip else part, order="C")
