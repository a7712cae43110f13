"""The props' shapes: each has a function that draws it on a `Brush`, in units of its own size."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from editloop.darkroom.brush import Brush, Point, ellipse, polar
from editloop.darkroom.fields import Floats

__all__ = ["SHAPES", "Shape"]

_DARK_WOOD = (92, 62, 40)
_CREAM = (246, 240, 224)


@dataclass(frozen=True, slots=True)
class Shape:
    """A kind of prop: its drawing function, its contact with the ground, and its texture mapping.

    `foot` is (x, half width, y) of the contact; None means that the prop floats.
    """

    draw: Callable[[Brush], None]
    foot: tuple[float, float, float] | None
    wrap: str = "flat"  # "flat", "round" or "tube"


def _ball(brush: Brush) -> None:
    shade, gloss = brush.sphere((0.5, 0.5), (0.5, 0.5))
    brush.lay(brush.ellipse((0.5, 0.5), (0.5, 0.5)), shade, gloss=gloss)


def _balloon(brush: Brush) -> None:
    string = [(0.5 + 0.025 * np.sin(t * 7), 0.74 + 0.26 * t) for t in np.linspace(0, 1, 24)]
    brush.lay(brush.stroke(string, 0.014), 0.9, colour=(90, 88, 86))
    brush.lay(brush.polygon([(0.5, 0.7), (0.45, 0.765), (0.55, 0.765)]), 0.75)
    outline: list[Point] = []
    for angle in np.radians(np.linspace(0, 360, 120)):
        down = float(np.sin(angle))
        narrow = 1 - 0.16 * max(down, 0) ** 1.5
        outline.append((0.5 + 0.33 * narrow * float(np.cos(angle)), 0.36 + 0.36 * down))
    shade, gloss = brush.sphere((0.5, 0.36), (0.34, 0.37))
    brush.lay(brush.polygon(outline), shade, gloss=1.15 * gloss)


def _box(brush: Brush) -> None:
    top = [(0.5, 0.08), (0.97, 0.26), (0.5, 0.46), (0.03, 0.26)]
    left = [(0.03, 0.26), (0.5, 0.46), (0.5, 0.98), (0.03, 0.76)]
    right = [(0.97, 0.26), (0.5, 0.46), (0.5, 0.98), (0.97, 0.76)]
    brush.lay(brush.polygon(left), 0.92 - 0.14 * brush.y)
    brush.lay(brush.polygon(right), 0.62 - 0.14 * brush.y)
    brush.lay(brush.polygon(top), 1.12)
    for line in ([left[0], left[1], right[0]], [left[1], left[2]]):
        brush.lay(0.4 * brush.stroke(line, 0.012), 1.25)


def _star(brush: Brush) -> None:
    centre = (0.5, 0.53)
    tips = [polar(centre, 0.52, -90 + 72 * i) for i in range(5)]
    dents = [polar(centre, 0.235, -54 + 72 * i) for i in range(5)]
    for i in range(5):
        light = 0.5 + 0.5 * float(np.cos(np.radians(-90 + 72 * i + 135)))
        brush.lay(brush.polygon([centre, tips[i], dents[i]]), 0.62 + 0.35 * light)
        brush.lay(brush.polygon([centre, tips[i], dents[i - 1]]), 0.86 + 0.35 * light)
    for i in range(5):  # cover the seams between the facets' anti-aliased edges
        brush.lay(0.6 * brush.stroke([centre, tips[i]], 0.012), 1.18)
        brush.lay(0.6 * brush.stroke([centre, dents[i]], 0.012), 0.72)


def _umbrella(brush: Brush) -> None:
    brush.lay(brush.stroke([(0.5, 0.0), (0.5, 0.9)], 0.026), 1.0, colour=_DARK_WOOD)
    hook = ellipse((0.56, 0.9), (0.06, 0.075), 180, 0, 30)
    hook = [(x, 1.8 - y) for x, y in hook]
    brush.lay(brush.stroke(hook, 0.036), 1.0, colour=_DARK_WOOD)
    rims = np.linspace(0.01, 0.99, 6)
    shades = (0.98, 1.14, 0.96, 0.78, 0.6)
    for i, shade in enumerate(shades):
        brush.lay(brush.polygon(_panel(float(rims[i]), float(rims[i + 1]))), shade)
    for x in rims[1:-1]:
        brush.lay(0.5 * brush.stroke(_rib(float(x)), 0.008), 0.5)
    _, gloss = brush.sphere((0.5, 0.5), (0.5, 0.47))
    brush.lay(
        0.35 * brush.polygon(_panel(0.01, 0.99)) * gloss, 0.0, colour=(255, 255, 255), gloss=1
    )


def _rib(x: float) -> list[Point]:
    """Return a quarter of an ellipse from the umbrella's top to its rim at `x`."""
    return [
        (0.5 + (x - 0.5) * float(np.sin(a)), 0.5 - 0.45 * float(np.cos(a)))
        for a in np.linspace(0, np.pi / 2, 24)
    ]


def _panel(left: float, right: float) -> list[Point]:
    middle, half = (left + right) / 2, (right - left) / 2
    scallop = ellipse((middle, 0.5), (half, 0.28 * half), 180, 360, 24)
    return [*_rib(left), *scallop, *reversed(_rib(right))]


def _mug(brush: Brush) -> None:
    ring = brush.ellipse((0.76, 0.56), (0.22, 0.25)) * (
        1 - brush.ellipse((0.76, 0.56), (0.13, 0.16))
    )
    brush.lay(ring, 0.62 + 0.5 * np.clip(0.75 - brush.y, 0, 1))
    wall = [(0.06, 0.17), *ellipse((0.42, 0.89), (0.34, 0.09), 180, 0, 40), (0.78, 0.17)]
    shade, gloss = brush.tube(0.06, 0.78)
    brush.lay(brush.polygon(wall), shade, gloss=gloss)
    brush.lay(brush.ellipse((0.42, 0.17), (0.36, 0.105)), 1.12)
    brush.lay(brush.ellipse((0.42, 0.175), (0.315, 0.082)), 0.55)
    brush.lay(brush.ellipse((0.42, 0.195), (0.285, 0.058)), 1.0, colour=(66, 40, 26))


def _book(brush: Brush) -> None:
    brush.lay(brush.polygon([(0.22, 0.06), (0.92, 0.06), (0.92, 0.9), (0.22, 0.9)]), 0.6)
    pages = [(0.14, 0.9), (0.88, 0.87), (0.94, 0.9), (0.94, 0.95), (0.2, 0.985)]
    brush.lay(
        brush.polygon([(0.86, 0.04), (0.92, 0.08), (0.92, 0.95), (0.86, 0.93)]), 0.94, colour=_CREAM
    )
    brush.lay(brush.polygon(pages), 0.86, colour=_CREAM)
    brush.lay(
        brush.polygon([(0.1, 0.03), (0.86, 0.03), (0.86, 0.93), (0.1, 0.93)]), 1.1 - 0.25 * brush.y
    )
    brush.lay(brush.polygon([(0.08, 0.03), (0.2, 0.03), (0.2, 0.93), (0.08, 0.95)]), 0.62)
    for y, left, right in ((0.24, 0.32, 0.74), (0.34, 0.38, 0.68)):
        brush.lay(brush.stroke([(left, y), (right, y)], 0.04), 1.0, colour=(232, 196, 96))
    frame = [(0.27, 0.1), (0.79, 0.1), (0.79, 0.86), (0.27, 0.86), (0.27, 0.1)]
    brush.lay(0.8 * brush.stroke(frame, 0.012), 1.0, colour=(232, 196, 96))


def _kite(brush: Brush) -> None:
    top, right, bottom, left = (0.5, 0.0), (0.88, 0.3), (0.5, 0.74), (0.12, 0.3)
    cross = (0.5, 0.3)
    tail = [(0.5 + 0.09 * np.sin(t * 9), 0.74 + 0.26 * t) for t in np.linspace(0, 1, 40)]
    brush.lay(brush.stroke(tail, 0.016), 1.0, colour=(70, 68, 70))
    for t in (0.3, 0.62, 0.94):
        x, y = 0.5 + 0.09 * np.sin(t * 9), 0.74 + 0.26 * t
        bow = [(x - 0.07, y - 0.035), (x, y), (x - 0.07, y + 0.035)]
        brush.lay(brush.polygon([*bow, (x + 0.07, y + 0.035), (x, y), (x + 0.07, y - 0.035)]), 0.95)
    for points, shade in (
        ((top, left, cross), 1.16),
        ((top, right, cross), 0.92),
        ((bottom, left, cross), 0.8),
        ((bottom, right, cross), 0.6),
    ):
        brush.lay(brush.polygon(points), shade)
    for line in ((top, bottom), (left, right)):
        brush.lay(brush.stroke(line, 0.018), 1.0, colour=_DARK_WOOD)


def _cone(brush: Brush) -> None:
    slab = [(0.02, 0.9), (0.2, 0.82), (0.8, 0.82), (0.98, 0.9), (0.98, 0.96), (0.02, 0.96)]
    brush.lay(brush.polygon(slab), 0.62)
    brush.lay(brush.polygon([(0.02, 0.9), (0.2, 0.82), (0.8, 0.82), (0.98, 0.9)]), 0.88)
    shade, gloss = _cone_light(brush)
    brush.lay(_cone_band(brush, 0.02, 0.88), shade, gloss=gloss)
    for high, low in ((0.26, 0.42), (0.58, 0.72)):
        brush.lay(_cone_band(brush, high, low), shade, colour=(250, 250, 246))


def _cone_band(brush: Brush, high: float, low: float) -> Floats:
    def half(y: float) -> float:
        return 0.055 + 0.27 * y

    upper = ellipse((0.5, high), (half(high), 0.12 * half(high)), 180, 0, 30)
    lower = ellipse((0.5, low), (half(low), 0.12 * half(low)), 0, 180, 30)
    return brush.polygon([*upper, *lower])


def _cone_light(brush: Brush) -> tuple[Floats, Floats]:
    across = np.clip((brush.x - 0.5) / (0.055 + 0.27 * np.clip(brush.y, 0, 1)), -1, 1)
    facing = across * -0.62 + np.sqrt(1 - across**2) * 0.78
    gloss = 0.3 * np.exp(-(((across + 0.45) / 0.16) ** 2))
    return 0.45 + 0.62 * np.clip(facing, 0, 1), gloss


def _vase(brush: Brush) -> None:
    heights = np.linspace(0.06, 0.98, 60)
    profile = (
        0.13
        + 0.2 * np.exp(-(((heights - 0.62) / 0.24) ** 2))
        + 0.1 * np.exp(-(((heights - 0.02) / 0.07) ** 2))
    )
    left = [(0.5 - float(w), float(y)) for w, y in zip(profile, heights, strict=True)]
    right = [(1 - x, y) for x, y in reversed(left)]
    foot = ellipse((0.5, 0.98), (float(profile[-1]), 0.02), 180, 0, 30)
    half = np.interp(brush.y, heights, profile)
    across = np.clip((brush.x - 0.5) / half, -1, 1)
    facing = across * -0.62 + np.sqrt(1 - across**2) * 0.78
    gloss = 0.5 * np.exp(-(((across + 0.45) / 0.14) ** 2)) * (brush.y > 0.3)
    brush.lay(
        brush.polygon([*left, *foot, *right]), 0.42 + 0.65 * np.clip(facing, 0, 1), gloss=gloss
    )
    rim = float(profile[0])
    brush.lay(brush.ellipse((0.5, 0.06), (rim, 0.05)), 1.1)
    brush.lay(brush.ellipse((0.5, 0.063), (rim * 0.82, 0.036)), 0.35)


def _hat(brush: Brush) -> None:
    shade, gloss = brush.tube(0.2, 0.8)
    brush.lay(brush.ellipse((0.5, 0.8), (0.5, 0.15)), 0.62 + 0.35 * (1 - brush.x))
    crown = [(0.24, 0.16), *ellipse((0.5, 0.78), (0.29, 0.1), 180, 0, 40), (0.76, 0.16)]
    brush.lay(brush.polygon(crown), shade, gloss=0.6 * gloss)
    upper = ellipse((0.5, 0.63), (0.282, 0.095), 180, 0, 40)
    lower = ellipse((0.5, 0.78), (0.29, 0.1), 0, 180, 40)
    brush.lay(brush.polygon([*upper, *lower]), shade, colour=(44, 40, 44))
    brush.lay(brush.ellipse((0.5, 0.16), (0.26, 0.08)), 1.08)


def _duck(brush: Brush) -> None:
    tail = [(0.2, 0.62), (0.0, 0.46), (0.06, 0.72)]
    shade, gloss = brush.sphere((0.5, 0.72), (0.46, 0.3))
    brush.lay(brush.polygon(tail), 0.95)
    brush.lay(brush.ellipse((0.48, 0.72), (0.44, 0.27)), shade, gloss=0.7 * gloss)
    shade, gloss = brush.sphere((0.66, 0.28), (0.27, 0.27))
    brush.lay(brush.ellipse((0.66, 0.28), (0.26, 0.26)), shade, gloss=gloss)
    wing = ellipse((0.4, 0.7), (0.22, 0.13), 0, 360, 60)
    shade, _ = brush.sphere((0.4, 0.7), (0.24, 0.16))
    brush.lay(brush.polygon(wing), 0.86 * shade)
    beak = [(0.84, 0.27), *ellipse((0.93, 0.32), (0.1, 0.05), -90, 90, 20), (0.82, 0.38)]
    brush.lay(brush.polygon(beak), 1.15 - 0.6 * (brush.y - 0.2), colour=(244, 132, 30))
    brush.lay(brush.ellipse((0.72, 0.22), (0.05, 0.06)), 1.0, colour=(252, 252, 250))
    brush.lay(brush.ellipse((0.735, 0.225), (0.03, 0.04)), 1.0, colour=(20, 20, 24))


SHAPES: Mapping[str, Shape] = MappingProxyType(
    {
        "ball": Shape(_ball, (0.5, 0.2, 0.985), "round"),
        "balloon": Shape(_balloon, None, "round"),
        "book": Shape(_book, (0.53, 0.4, 0.95)),
        "box": Shape(_box, (0.5, 0.36, 0.86)),
        "cone": Shape(_cone, (0.5, 0.48, 0.95)),
        "duck": Shape(_duck, (0.48, 0.32, 0.97)),
        "hat": Shape(_hat, (0.5, 0.44, 0.9), "tube"),
        "kite": Shape(_kite, None),
        "mug": Shape(_mug, (0.42, 0.32, 0.96), "tube"),
        "star": Shape(_star, None),
        "umbrella": Shape(_umbrella, None),
        "vase": Shape(_vase, (0.5, 0.17, 0.985), "tube"),
    }
)
