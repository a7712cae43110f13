"""Checks of a sample's pictures: size, registration, change, and what the mask allows.

The codes are those of lint.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from editloop.filters.registration import displacement, register
from editloop.filters.unchanged import Change, measure_change
from editloop.images.codec import decode, decode_mask, resize
from editloop.schema import EditSample, Mask, Pixels

__all__ = ["Decoded", "decoded", "picture_problems"]

_ASPECT = 0.01  # by which the ratio of the sides may differ
_MARGIN = 5  # pixels of 512 by which an edit may pass the mask's edge


@dataclass(frozen=True, slots=True)
class Decoded:
    """A sample's decoded pictures; those that it does not have are None."""

    source: Pixels | None
    target: Pixels | None
    mask: Mask | None


def decoded(sample: EditSample) -> Decoded:
    """Return a sample's pictures; raise ImageError if one cannot be read."""
    return Decoded(
        None if sample.source is None else decode(sample.source.bytes),
        None if sample.target is None else decode(sample.target.bytes),
        None if sample.mask is None else decode_mask(sample.mask.bytes),
    )


def picture_problems(pictures: Decoded, smallest: int) -> Iterator[tuple[str, str]]:
    """Yield the code and the value of each problem of a sample's pictures.

    `smallest` is the least short side in pixels. A sample without a source or a target has fewer
    checks.
    """
    source, target, mask = pictures.source, pictures.target, pictures.mask
    for picture in (source, target):
        if picture is not None and min(picture.shape[:2]) < smallest:
            yield "small", f"{picture.shape[1]} x {picture.shape[0]} pixels"
            break
    if mask is not None and not (mask >= 128).any():
        yield "mask-empty", ""
        mask = None
    if source is None or target is None:
        return
    ratio = _ratio(target) / _ratio(source)
    if abs(ratio - 1) > _ASPECT:
        yield "aspect", f"the ratio of its sides is {ratio:.3f} times the source's"
        return
    target = resize(target, *source.shape[:2])
    yield from _compared(source, target, None if mask is None else resize(mask, *source.shape[:2]))


def _compared(source: Pixels, target: Pixels, mask: Mask | None) -> Iterator[tuple[str, str]]:
    if not measure_change(source, target).changed:
        yield "unchanged", ""
        return
    found = register(source, target, mask)
    if found.displaced:
        yield displacement(found)
    elif mask is not None:
        yield from _masked(source, target, mask >= 128)


def _masked(source: Pixels, target: Pixels, allowed: np.ndarray) -> Iterator[tuple[str, str]]:
    """Compare the pictures inside and outside of the mask, away from its edge."""
    margin = max(1, round(_MARGIN * min(source.shape[:2]) / 512))
    kernel = np.ones((2 * margin + 1, 2 * margin + 1), np.uint8)
    wide = cv2.dilate(allowed.astype(np.uint8), kernel).astype(bool)
    if wide.all():
        return
    outside = _change_in(source, target, ~wide)
    if not outside.changed:
        return
    inside = _change_in(source, target, allowed)
    yield ("outside-mask" if inside.changed else "mask-inverted"), ""


def _change_in(source: Pixels, target: Pixels, region: np.ndarray) -> Change:
    """Return the change in a region; the rest of the target is taken from the source."""
    return measure_change(source, np.where(region[..., None], target, source))


def _ratio(picture: Pixels) -> float:
    return float(picture.shape[1] / picture.shape[0])
