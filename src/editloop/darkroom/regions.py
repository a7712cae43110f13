"""The regions of a mask: its inside, the rim around it, and the outside that must not change."""

from __future__ import annotations

import cv2
import numpy as np

from editloop.schema import Mask

__all__ = ["inside_of", "is_whole", "outside_of", "rim_of"]

_APART = 0.05  # minimum distance of the outside from the mask, as a share of the side
_RIM = 0.03  # width of the rim, as a share of the side
_SOME = 0.005  # a smaller share of the picture counts as no outside


def inside_of(mask: Mask) -> Mask:
    """Return 1 where editing is allowed, else 0; [h, w]."""
    return (mask > 127).astype(np.uint8)


def outside_of(mask: Mask) -> Mask:
    """Return 1 where nothing may change, at least a few pixels from the mask, else 0; [h, w]."""
    reach = 2 * max(2, round(_APART * min(mask.shape))) + 1
    return np.asarray(1 - cv2.dilate(inside_of(mask), np.ones((reach, reach), np.uint8)), np.uint8)


def rim_of(mask: Mask) -> Mask:
    """Return 1 just outside the mask, else 0; [h, w]."""
    reach = 2 * max(2, round(_RIM * min(mask.shape))) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    inside = inside_of(mask)
    return np.asarray(cv2.dilate(inside, disc) - inside, np.uint8)


def is_whole(mask: Mask) -> bool:
    """Return whether the mask leaves almost no outside, as for a global edit or a style."""
    return float(outside_of(mask).mean()) < _SOME
