"""Pictures embedded in a page as data URIs, reduced to keep the page small."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from editloop.errors import ImageError
from editloop.images.codec import content_hash, decode, encode_jpeg, encode_png, resize
from editloop.schema import Mask, Pixels

__all__ = ["LightPictures", "Picture", "exact", "sheet"]

_SMALL = 160  # px: up to here shown unchanged, enlarged by whole pixels
_REDUCED = 320  # px: larger pictures are reduced to this
_SHEET = 1200  # px, of a sheet of many pictures
_LIGHT = 256  # px, and bytes below: of one of hundreds of pictures
_LIGHT_BYTES = 18_000
_QUALITIES = (85, 70, 55, 40)


@dataclass(frozen=True, slots=True)
class Picture:
    """An embedded picture, or the reason for its absence, with a judge's and metrics' results."""

    label: str
    alt: str
    uri: str = ""
    small: bool = False
    reason: str | None = None
    passed: Mapping[str, bool | None] = field(default_factory=dict)
    numbers: Sequence[tuple[str, str]] = ()
    words: Sequence[tuple[str, str]] = ()


def exact(label: str, pixels: Pixels | Mask, alt: str) -> Picture:
    """Return a picture whose pixels matter: lossless if it is small or a mask."""
    small = max(pixels.shape[:2]) <= _SMALL
    shown = pixels if small else _reduced(pixels, _REDUCED)
    if small or pixels.ndim == 2:
        return Picture(label, alt, _uri("png", encode_png(shown)), small)
    return Picture(label, alt, _uri("jpeg", encode_jpeg(shown, 88)))


class LightPictures:
    """Pictures of a page with hundreds of them: each a JPEG of a few kilobytes.

    Each picture is decoded once, from any number of threads; only its JPEG is kept.
    """

    def __init__(self) -> None:
        self._uris: dict[str, Future[str]] = {}  # by the pictures' content

    def shown(self, label: str, data: bytes, alt: str) -> Picture:
        """Return a picture from encoded bytes; raise ImageError if they cannot be read."""
        own = Future[str]()
        uri = self._uris.setdefault(content_hash(data), own)
        if uri is own:
            try:
                own.set_result(_light(decode(data)))
            except ImageError as error:
                own.set_exception(error)
        return Picture(label, alt, uri.result())


def sheet(label: str, pixels: Pixels, alt: str) -> Picture:
    """Return a sheet of many pictures, at the size of a wide page."""
    return Picture(label, alt, _uri("jpeg", encode_jpeg(_reduced(pixels, _SHEET), 85)))


def _light(pixels: Pixels) -> str:
    shown = _reduced(pixels, _LIGHT)
    for quality in _QUALITIES:
        data = encode_jpeg(shown, quality)
        if len(data) <= _LIGHT_BYTES:
            break
    return _uri("jpeg", data)


def _reduced(pixels: Pixels | Mask, side: int) -> Pixels | Mask:
    height, width = pixels.shape[:2]
    scale = min(1.0, side / max(height, width))
    return resize(pixels, max(1, round(height * scale)), max(1, round(width * scale)))


def _uri(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"
