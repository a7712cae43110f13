"""The darkroom's named colours."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TypeAlias

__all__ = ["COLOURS", "Rgb", "contrast", "rgb"]

Rgb: TypeAlias = tuple[int, int, int]

COLOURS: Mapping[str, Rgb] = MappingProxyType(
    {
        "red": (214, 38, 40),
        "orange": (244, 128, 26),
        "yellow": (250, 212, 40),
        "green": (44, 158, 66),
        "turquoise": (40, 190, 186),
        "blue": (36, 88, 214),
        "purple": (126, 52, 170),
        "pink": (246, 124, 176),
        "brown": (124, 76, 42),
        "black": (34, 34, 38),
        "grey": (128, 130, 134),
        "white": (242, 242, 240),
    }
)


def rgb(name: str) -> Rgb:
    """Return the sRGB value of a colour name; raise KeyError for an unknown name."""
    return COLOURS[name]


def contrast(first: str, second: str) -> float:
    """Return the mean absolute difference of two named colours, in 0..255."""
    return sum(abs(a - b) for a, b in zip(COLOURS[first], COLOURS[second], strict=True)) / 3
