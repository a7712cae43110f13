"""The levels of a mask picture, and the decision where they allow editing (see `masks.py`)."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from editloop.errors import ImageError
from editloop.images.intact import PNG
from editloop.images.masks import MaskReading
from editloop.images.normalise import deep_grey, eight_bit, orientation, refuse_mode, turned
from editloop.schema import Mask

__all__ = ["MaskLevels", "allowed", "mask_levels"]

_FIX = "choose a mask rule (--mask-rule): nonzero, white, opaque or index:N"

# Levels of 0..255. Noise of JPEG stays within _NEAR of its level.
_HALF, _NEAR, _DARK = 128, 16, 32
_GAP = 8  # levels of noisy flat areas this far apart are different levels
_FEW = 40  # a lossless picture of more values is noisy or a gradient
_AREA = 0.001  # share of the picture from which a flat area counts
_MIDDLE = 0.25  # share of what is not black that may be middle grey
_ODD, _STRAY = 32, 0.05  # levels by which a pixel departs from one hue; share that may


@dataclass(frozen=True, slots=True, eq=False)
class MaskLevels:
    """A mask picture before its meaning is decided, upright.

    levels: [height, width] or [height, width, 3], integers from 0 to `white`; alpha: uint8
    [height, width], None without transparency; indices: those of a palette; lossy: from JPEG;
    oriented: turned by the mask's own EXIF orientation.
    """

    levels: NDArray[np.integer]
    white: int = 255
    alpha: NDArray[np.uint8] | None = None
    indices: NDArray[np.uint8] | None = None
    lossy: bool = False
    oriented: bool = False

    @property
    def see_through(self) -> bool:
        """Whether some pixel is transparent."""
        return self.alpha is not None and bool((self.alpha < 255).any())


def mask_levels(image: Pillow.Image, data: bytes) -> MaskLevels:
    """Return the levels of a mask picture, at its own depth; `data` are its file's bytes."""
    deep = deep_grey(image)
    if deep is None:
        refuse_mode(image)
    turn, depth = orientation(image), data[24] if data.startswith(PNG) else 8
    indices = np.array(image) if image.mode == "P" else None
    alpha = None
    if image.has_transparency_data:
        alpha = np.array(eight_bit(image).convert("RGBA").getchannel("A"))
    if deep is not None or depth == 16:
        levels, white = _deep(data) if deep is None else deep, 65535
    elif image.mode in ("1", "L"):
        white = 1 if image.mode == "1" else 255 if depth >= 8 else 2**depth - 1
        levels = np.array(image.convert("L")) // (255 // white)
    else:
        levels, white = np.array(image.convert("RGB")), 255
    return MaskLevels(
        levels=turned(levels, turn),
        white=white,
        alpha=None if alpha is None else turned(alpha, turn),
        indices=None if indices is None else turned(indices, turn),
        lossy=image.format in ("JPEG", "MPO"),
        oriented=turn != 1,
    )


def _deep(data: bytes) -> NDArray[np.uint16]:
    """Return the colours of a PNG of 16 bits a channel; Pillow reads only their high bytes."""
    flags = cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION
    found = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    assert found is not None  # Pillow has read it
    assert found.dtype == np.uint16
    return np.asarray(found if found.ndim == 2 else found[..., 2::-1], np.uint16)


def allowed(found: MaskLevels, reading: MaskReading) -> Mask:
    """Return 255 where a mask allows editing, else 0: [height, width].

    Raises ImageError where the picture has no certain meaning or the rule does not fit it.
    """
    where = _automatic(found) if reading.rule is None else _by_rule(found, reading.rule)
    return np.where(where != reading.invert, 255, 0).astype(np.uint8)


def _by_rule(found: MaskLevels, rule: str) -> NDArray[np.bool_]:
    if rule == "opaque":
        if found.alpha is None:
            raise _unfit(rule, "it has no transparency")
        return np.asarray(found.alpha >= _HALF)
    if rule == "white":
        levels = _scaled(found.levels, found.white)
        grey = levels if levels.ndim == 2 else cv2.cvtColor(levels, cv2.COLOR_RGB2GRAY)
        return np.asarray(grey >= _HALF)
    values = found.levels if found.indices is None else found.indices
    if rule == "nonzero":
        return np.asarray(values != 0 if values.ndim == 2 else values.any(axis=2))
    if values.ndim == 3 and not _is_grey(values):
        raise _unfit(rule, "it has colours, and neither a palette nor one value a pixel")
    return np.asarray((values if values.ndim == 2 else values[..., 0]) == int(rule[6:]))


def _unfit(rule: str, cause: str) -> ImageError:
    return ImageError(
        "mask-rule", f"the mask rule does not fit this mask: {cause}", value=rule, fix=_FIX
    )


def _automatic(found: MaskLevels) -> NDArray[np.bool_]:
    if found.alpha is not None and found.see_through:
        clear = 255 - found.alpha
        if clear.max() < _HALF:
            raise _ambiguous("no part of it is even half transparent", f"alpha {found.alpha.min()}")
        return np.asarray(clear >= _HALF)
    levels, white = found.levels, found.white
    if found.indices is not None and _is_flat(levels) and not _is_flat(found.indices):
        levels, white = found.indices, 65535  # a palette of one colour: no index means white
    if levels.ndim == 3:
        levels = levels[..., 0] if _is_grey(levels) else _shades(found)
    return _of_greys(levels, white, lossy=found.lossy)


def _is_grey(levels: NDArray[np.integer]) -> bool:
    first = levels[..., :1]
    return bool((levels[..., 1:] == first).all())


def _is_flat(levels: NDArray[np.integer]) -> bool:
    return bool((levels == levels[0, 0]).all())


def _values(levels: NDArray[np.integer]) -> NDArray[np.integer]:
    """Return the values that occur, in order."""
    return np.flatnonzero(np.bincount(levels.ravel()))


def _shades(found: MaskLevels) -> NDArray[np.integer]:
    """Return the levels of the shades of one colour on black; ImageError for several colours."""
    levels = found.levels
    brightest = levels.reshape(-1, 3)[int(levels.max(axis=2).argmax())].astype(np.float32)
    strength = levels.max(axis=2)
    limit, share = (float(_ODD), _STRAY) if found.lossy else (1.0, 0.0)
    odd = np.zeros(strength.shape, bool)
    for channel, part in enumerate(brightest / brightest.max()):
        odd |= np.abs(levels[..., channel] - strength * part) > limit
    if odd.mean() > share:
        raise _ambiguous("it has several colours", f"{_colours(levels)} colours")
    if _is_flat(strength):
        raise _ambiguous("it has one colour only", f"RGB {brightest.astype(int).tolist()}")
    return np.asarray(strength)


def _colours(levels: NDArray[np.integer]) -> int:
    return len(np.unique(levels.reshape(-1, 3), axis=0))


def _of_greys(levels: NDArray[np.integer], white: int, *, lossy: bool) -> NDArray[np.bool_]:
    values = _values(levels)
    shown = _listed(values)
    if len(values) == 1:
        if values[0] not in (0, white):
            raise _ambiguous("it has one value only, neither black nor white", shown)
        return np.asarray(levels == white)
    if len(values) == 2 and values[0] == 0 and not lossy:
        return np.asarray(levels > 0)
    if len(values) == 2 and not lossy:
        raise _ambiguous("it has two values, none of them 0", shown)
    grey = _scaled(levels, white)
    if grey.max() < _HALF:
        raise _ambiguous("no part of it is light", shown)
    if _DARK < grey.min() < 255 - _NEAR:
        raise _ambiguous("no part of it is black", shown)
    if _flat_levels(grey, _GAP if lossy or len(values) > _FEW else 0) > 2:
        raise _ambiguous("it has areas of three or more values", shown)
    middle = (grey > _HALF - _NEAR) & (grey < _HALF + _NEAR)
    if middle.sum() > _MIDDLE * (grey > _NEAR).sum():
        raise _ambiguous("much of it is a middle grey", shown)
    return np.asarray(grey >= _HALF)


def _scaled(levels: NDArray[np.integer], white: int) -> NDArray[np.uint8]:
    """Return levels as 0 to 255, from 0 to 1, 3, 15, 255 or 65535."""
    made = levels // (white // 255) if white > 255 else levels * (255 // white)
    return made.astype(np.uint8)


def _flat_levels(grey: NDArray[np.uint8], gap: int) -> int:
    """Return the number of levels, more than `gap` apart, of a picture's flat areas.

    The shades of a soft edge have no area of one level; a gradient's levels follow each other.
    """
    around = np.ones((3, 3), np.uint8)
    flat = cv2.erode(grey, around) == cv2.dilate(grey, around)
    counts = np.bincount(grey[flat], minlength=256)
    levels = np.flatnonzero(counts > _AREA * grey.size)
    return 1 + int((np.diff(levels) > gap).sum()) if len(levels) else 0


def _listed(values: NDArray[np.integer]) -> str:
    if len(values) <= 6:
        return f"values {', '.join(map(str, values.tolist()))}"
    return f"{len(values)} values from {values[0]} to {values[-1]}"


def _ambiguous(cause: str, value: str) -> ImageError:
    return ImageError(
        "ambiguous-mask", f"it is unclear where this mask allows editing: {cause}", value=value,
        fix=_FIX,
    )  # fmt: skip
