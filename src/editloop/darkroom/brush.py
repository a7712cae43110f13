"""Drawing of props: an anti-aliased canvas with separate paint, fixed colours, coverage and shadow.

A sprite is drawn once at a high resolution, then averaged down to the required size. All its planes
are premultiplied by coverage, so that averaging is exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from editloop.darkroom.fields import Floats, floats

__all__ = ["MARGIN", "PAINT_RANGE", "Brush", "Point", "Sprite", "ellipse", "polar"]

Point: TypeAlias = tuple[float, float]

Sprite: TypeAlias = NDArray[np.uint8]  # [side, side, 6]: alpha, paint, red, green, blue, shadow

MARGIN = 0.35  # space for the shadow on every side, in units of the prop's size
PAINT_RANGE = 1.28  # lit paint may exceed 1, and is stored divided by this

_LIGHT = floats((-0.52, -0.62, 0.59))  # direction to the light: upper left, in front
_SHIFT = 6  # fractional bits of OpenCV's polygon coordinates


def ellipse(
    centre: Point, radius: Point, start: float = 0.0, stop: float = 360.0, steps: int = 120
) -> list[Point]:
    """Return points of an ellipse's arc in prop units; degrees run clockwise from the right."""
    angles = np.radians(np.linspace(start, stop, steps))
    return [
        (centre[0] + radius[0] * float(np.cos(a)), centre[1] + radius[1] * float(np.sin(a)))
        for a in angles
    ]


def polar(centre: Point, radius: float, degrees: float) -> Point:
    """Return the point at an angle and a distance from a centre."""
    angle = np.radians(degrees)
    return centre[0] + radius * float(np.cos(angle)), centre[1] + radius * float(np.sin(angle))


class Brush:
    """A canvas with `resolution` pixels per unit: a prop fills [0, 1] x [0, 1], y pointing down."""

    def __init__(self, resolution: int) -> None:
        side = round(resolution * (1 + 2 * MARGIN))
        axis = (np.arange(side, dtype=np.float32) + 0.5) / resolution - MARGIN
        self.resolution = resolution
        self.x, self.y = np.meshgrid(axis, axis)
        self.alpha: Floats = np.zeros((side, side), np.float32)
        self.paint: Floats = np.zeros((side, side), np.float32)
        self.fixed = np.zeros((side, side, 3), np.float32)

    def polygon(self, points: Sequence[Point]) -> Floats:
        """Return the coverage of a filled polygon, 0..1."""
        plane = np.zeros(self.alpha.shape, np.uint8)
        cv2.fillPoly(plane, [self._pixels(points)], 255, cv2.LINE_AA, _SHIFT)
        return plane.astype(np.float32) / 255

    def stroke(self, points: Sequence[Point], width: float) -> Floats:
        """Return the coverage of a line through points, 0..1; `width` in prop units."""
        plane = np.zeros(self.alpha.shape, np.uint8)
        thickness = max(1, round(width * self.resolution))
        cv2.polylines(plane, [self._pixels(points)], False, 255, thickness, cv2.LINE_AA, _SHIFT)
        return plane.astype(np.float32) / 255

    def ellipse(self, centre: Point, radius: Point) -> Floats:
        """Return the coverage of a filled ellipse, 0..1."""
        return self.polygon(ellipse(centre, radius))

    def lay(
        self,
        coverage: Floats,
        shade: Floats | float = 1.0,
        *,
        colour: Sequence[int] | None = None,
        gloss: Floats | float = 0.0,
    ) -> None:
        """Draw a part over the canvas, in the prop's own paint or in a fixed colour."""
        keep = 1 - coverage
        self.alpha = self.alpha * keep + coverage
        self.paint *= keep
        self.fixed *= keep[..., None]
        if colour is None:
            self.paint += coverage * shade
        else:
            light = (coverage * shade)[..., None]
            self.fixed += light * (floats(colour) / 255)
        self.fixed += (coverage * gloss)[..., None]

    def sphere(self, centre: Point, radius: Point) -> tuple[Floats, Floats]:
        """Return shade and gloss of an ellipsoid: Lambert with ambient light, Blinn's highlight."""
        across = (self.x - centre[0]) / radius[0]
        down = (self.y - centre[1]) / radius[1]
        height = np.sqrt(np.clip(1 - across**2 - down**2, 0, 1))
        facing = across * _LIGHT[0] + down * _LIGHT[1] + height * _LIGHT[2]
        half = _LIGHT + floats((0, 0, 1))
        half /= np.linalg.norm(half)
        mirror = np.clip(across * half[0] + down * half[1] + height * half[2], 0, 1)
        bounce = 0.12 * np.clip(down, 0, 1)
        return 0.42 + 0.72 * np.clip(facing, 0, 1) + bounce, 0.75 * mirror**42

    def tube(self, left: float, right: float) -> tuple[Floats, Floats]:
        """Return shade and gloss of an upright cylinder between two x."""
        across = np.clip((self.x - (left + right) / 2) / ((right - left) / 2), -1, 1)
        facing = across * -0.62 + np.sqrt(1 - across**2) * 0.78
        return 0.45 + 0.62 * np.clip(facing, 0, 1), 0.35 * np.exp(-(((across + 0.5) / 0.13) ** 2))

    def cast(self, foot: tuple[float, float, float]) -> Floats:
        """Return the cast and contact shadow of a prop that stands at `foot` (x, half width, y)."""
        x, half, y = foot
        small = self._quarter(self.alpha)
        shear, squash = 0.3, 0.3  # (x, y) -> (x + shear (foot - y), foot - squash (foot - y))
        step = len(small) / (1 + 2 * MARGIN)
        base = (y + MARGIN) * step
        move = floats([[1, -shear, shear * base], [0, squash, base - squash * base]])
        fallen = cv2.warpAffine(small, move, small.shape[::-1])
        fallen = cv2.GaussianBlur(fallen, (0, 0), 0.028 * step)
        distance = ((self.x - x) / (half * 1.25)) ** 2 + ((self.y - y) / 0.075) ** 2
        contact = 0.6 * np.exp(-1.6 * distance)
        return _joined(0.42 * self._full(fallen), contact)

    def drop(self) -> Floats:
        """Return the shadow of a floating prop: soft, down and to the right."""
        small = self._quarter(self.alpha)
        step = len(small) / (1 + 2 * MARGIN)
        move = floats([[1, 0, 0.075 * step], [0, 1, 0.1 * step]])
        fallen = cv2.GaussianBlur(
            cv2.warpAffine(small, move, small.shape[::-1]), (0, 0), 0.045 * step
        )
        return _joined(0.34 * self._full(fallen), 0.0)

    def sprite(self, shadow: Floats) -> Sprite:
        """Return all planes as one array, premultiplied by coverage."""
        planes = np.dstack([self.alpha, self.paint / PAINT_RANGE, self.fixed, shadow])
        return np.round(np.clip(planes, 0, 1) * 255).astype(np.uint8)

    def _pixels(self, points: Sequence[Point]) -> NDArray[np.int32]:
        scaled = (np.asarray(points, np.float64) + MARGIN) * self.resolution - 0.5
        return np.asarray(np.round(scaled * 2**_SHIFT), np.int32)

    def _quarter(self, plane: Floats) -> Floats:
        side = max(16, len(plane) // 4)
        return np.asarray(cv2.resize(plane, (side, side), interpolation=cv2.INTER_AREA), np.float32)

    def _full(self, plane: Floats) -> Floats:
        side = len(self.alpha)
        return np.asarray(
            cv2.resize(plane, (side, side), interpolation=cv2.INTER_LINEAR), np.float32
        )


def _joined(first: Floats, second: Floats | float) -> Floats:
    """Combine two shadows, with exactly zero where they would be invisible."""
    both = 1 - (1 - first) * (1 - second)
    return np.asarray(np.clip((both - 0.025) / 0.975, 0, 1), np.float32)
