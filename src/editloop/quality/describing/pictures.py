"""Facts of pictures that need no pixels, and whether a mask allows editing everywhere."""

from __future__ import annotations

import io
import warnings
from functools import lru_cache
from pathlib import Path

from PIL import ExifTags
from PIL import Image as Pillow

from editloop.errors import ImageError
from editloop.images.codec import decode_mask
from editloop.sources.entries import Picture
from editloop.sources.files import read_file

__all__ = ["mask_kind", "stated_size"]

_TURNED = range(5, 9)  # EXIF orientations that swap height and width


def stated_size(picture: Picture) -> str | None:
    """Return WIDTHxHEIGHT, upright, as a picture's header states it; None if it states none."""
    data = picture if isinstance(picture, Path) else io.BytesIO(picture.bytes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of large pictures: no pixel is read
        try:
            with Pillow.open(data) as image:
                width, height = image.size
                if image.getexif().get(ExifTags.Base.Orientation) in _TURNED:
                    width, height = height, width
        except Exception:  # whatever Pillow raises on a damaged header
            return None
    return f"{width}x{height}"


def mask_kind(mask: Picture | None) -> str:
    """Return `free-form` for an edit that may change everything, else `region-based`.

    A mask whose meaning is unclear, or that cannot be read, is `unclear mask`.
    """
    if mask is None:
        return "free-form"
    try:
        data = read_file(mask) if isinstance(mask, Path) else mask.bytes
        return "free-form" if _is_everywhere(data) else "region-based"
    except (ImageError, OSError):
        return "unclear mask"


@lru_cache(maxsize=64)
def _is_everywhere(data: bytes) -> bool:
    """Return whether a mask is white; blank masks of a data set are mostly the same bytes."""
    return bool(decode_mask(data).all())
