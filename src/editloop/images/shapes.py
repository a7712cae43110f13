"""Shapes of the pictures of one edit: whether sizes (height, width) have one aspect ratio."""

from __future__ import annotations

__all__ = ["difference", "is_near", "same_shape"]

_NEARLY = 0.03  # by which two aspect ratios may differ: editors work in steps of 8 or 16 pixels


def same_shape(first: tuple[int, int], second: tuple[int, int]) -> bool:
    """Return whether two sizes have the same aspect ratio, up to the rounding of a side."""
    factor = max(first) / max(second)
    return all(abs(a - b * factor) <= max(1.0, factor) for a, b in zip(first, second, strict=True))


def difference(first: tuple[int, int], second: tuple[int, int]) -> float:
    """Return by how much the aspect ratios of two sizes differ: 0.03 if one is 3% wider."""
    ratio = first[1] * second[0] / (first[0] * second[1])
    return max(ratio, 1 / ratio) - 1


def is_near(first: tuple[int, int], second: tuple[int, int]) -> bool:
    """Return whether a picture of one size may be resized to the other without a request.

    Their aspect ratios differ by at most 3%, or by the rounding of a side.
    """
    return difference(first, second) <= _NEARLY or same_shape(first, second)
