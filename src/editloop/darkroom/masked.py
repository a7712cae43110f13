"""Local edits of a masked region on any photo, without known props.

Each function edits pixels where `mask` is not 0 and may change others: `within` restores those.
"""

from __future__ import annotations

import cv2
import numpy as np

from editloop.darkroom.colours import COLOURS, rgb
from editloop.darkroom.fields import Floats, blur, floats, grey, merge, short_side, split
from editloop.darkroom.filling import fill
from editloop.darkroom.props import Prop
from editloop.darkroom.textures import sample
from editloop.schema import Mask, Pixels

__all__ = ["cover", "defocus", "fit", "recolour", "shrink", "within"]


def within(picture: Pixels, edited: Pixels, mask: Mask, *, soft: bool = True) -> Pixels:
    """Return the edited picture inside a mask and the original bytes outside.

    `soft` blends along the mask's inner edge, for edits that would otherwise end in a hard line.
    """
    if soft:
        width = max(1.0, 0.003 * short_side(picture))
        share = np.clip(_depth(mask) / width, 0, 1)[..., None]
        edited = merge(split(picture) + (split(edited) - split(picture)) * share)
    return np.where(mask[..., None] > 0, edited, picture)


def _depth(mask: Mask) -> Floats:
    """Return each pixel's depth inside a mask, in pixels; the picture's border is not an edge."""
    padded = cv2.copyMakeBorder(
        np.where(mask > 0, 255, 0).astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_REPLICATE
    )
    return floats(cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1])


def recolour(picture: Pixels, mask: Mask, colour: str) -> Pixels:
    """Recolour a region: its shading stays, its tone moves towards that of the colour."""
    lab = cv2.cvtColor(split(picture), cv2.COLOR_RGB2LAB)
    wanted = cv2.cvtColor(floats(rgb(colour)).reshape(1, 1, 3) / 255, cv2.COLOR_RGB2LAB)[0, 0]
    inside = mask > 0
    level = float(np.median(lab[..., 0][inside]))
    own = float(wanted[0])
    shading = (lab[..., 0] + 6) / (level + 6)
    lab[..., 0] = np.clip((0.7 * own + 0.3 * level) * shading**0.85, 0, 100)
    # highlights lose their colour, deep shadows have less of it
    strength = np.clip(lab[..., 0] / max(own, 25), 0.25, 1)
    strength *= np.clip((104 - lab[..., 0]) / 24, 0, 1)
    lab[..., 1:] = wanted[1:] * strength[..., None]
    return merge(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB))


def cover(picture: Pixels, mask: Mask, texture: str) -> Pixels:
    """Cover a region with a surface texture, shaded by the region's own light."""
    rows, columns = np.nonzero(mask)
    side = max(int(np.ptp(rows)), int(np.ptp(columns))) + 1
    height, width = mask.shape
    u, v = np.meshgrid(
        floats(np.arange(width) - columns.min()) / side,
        floats(np.arange(height) - rows.min()) / side,
    )
    surface = sample(texture, _nearest_colour(picture, mask), u, v, side)
    light = floats(blur(grey(picture), 0.012))
    level = float(light[mask > 0].mean())
    shading = np.clip((light + 0.15) / (level + 0.15), 0.35, 1.6)[..., None]
    return merge(surface * shading)


def _nearest_colour(picture: Pixels, mask: Mask) -> str:
    """Return the named colour nearest to a region's average, used to draw a pattern."""
    mean = picture[mask > 0].mean(axis=0)
    return min(COLOURS, key=lambda name: float(np.abs(mean - rgb(name)).sum()))


def shrink(picture: Pixels, mask: Mask, factor: float) -> Pixels:
    """Shrink the masked region towards the middle of its lower edge, and fill the gap around it."""
    rows, columns = np.nonzero(mask)
    foot, middle = float(rows.max()), float(columns.mean())
    move = floats([[factor, 0, middle * (1 - factor)], [0, factor, foot * (1 - factor)]])
    size = (mask.shape[1], mask.shape[0])
    small = cv2.warpAffine(picture, move, size, flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REFLECT)
    share = cv2.warpAffine(np.where(mask > 0, 255, 0).astype(np.uint8), move, size)
    alpha = split(cv2.GaussianBlur(share, (0, 0), 0.8))[..., None]
    behind = split(fill(picture, mask))
    return merge(behind + (split(small) - behind) * alpha)


def defocus(picture: Pixels, mask: Mask) -> Pixels:
    """Blur a region far out of focus, without colours from outside bleeding into it."""
    weight = np.where(mask > 0, 1, 0).astype(np.float32)
    values = floats(blur(split(picture) * weight[..., None], 0.03))
    total = floats(blur(weight, 0.03))[..., None]
    return merge(values / np.maximum(total, 1e-3))


def fit(mask: Mask, kind: str, colour: str, texture: str = "") -> Prop:
    """Return a prop that fits the mask's bounding box, standing on the mask's lower edge."""
    height, width = mask.shape
    rows, columns = np.nonzero(mask)
    tall, wide = int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1
    side = min(tall, wide)
    return Prop(
        kind,
        colour,
        x=float(columns.min() + wide / 2) / width,
        y=float(rows.max() + 1 - side / 2) / height,
        size=side / min(height, width),
        texture=texture,
    )
