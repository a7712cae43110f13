"""Pictures in the cells of a table: bytes, base64, Hugging Face's image, or a file's name."""

from __future__ import annotations

import base64
import re
from pathlib import Path

from editloop.schema import Image, Json
from editloop.sources.entries import Picture, below

__all__ = ["AddressError", "FaultError", "holds_base64", "is_address", "picture_in"]

_ADDRESS = re.compile(r"(https?|s3|gs|ftp)://\S+", re.IGNORECASE)
_DATA_URI = re.compile(r"data:(image/[\w.+-]+)?(;[\w=-]+)*,", re.IGNORECASE)
_BASE64 = re.compile(r"[A-Za-z0-9+/\s]+={0,2}\s*")
_SHORTEST = 64  # characters: no picture is shorter, and few file names are as long
# How pictures begin in base64: PNG, JPEG, WebP, GIF, BMP, TIFF.
_HEADS = ("iVBORw0KGgo", "/9j/", "UklGR", "R0lGOD", "Qk", "SUkqA", "TU0AK")


class FaultError(Exception):
    """A fault of a row; becomes a Problem."""


class AddressError(FaultError):
    """A picture that is only the address of one."""


def is_address(value: Json) -> bool:
    """Return whether a value is the address of something on a network."""
    return isinstance(value, str) and bool(_ADDRESS.fullmatch(value.strip()))


def holds_base64(value: Json) -> bool:
    """Return whether a text is a picture in base64, as a `data:` URI or as it is."""
    if not isinstance(value, str):
        return False
    if _DATA_URI.match(value):
        return True
    return (
        len(value) >= _SHORTEST
        and value.startswith(_HEADS)
        and _BASE64.fullmatch(value, 0, 4096) is not None
    )


def picture_in(value: Json, name: str, folder: Path, file: Path, *, outside: bool) -> Picture:
    """Return the picture of a field.

    A file's name is relative to the data set's `folder`, or to the folder of the table `file`; only
    with `outside` may it lie elsewhere. Raises FaultError.
    """
    if isinstance(value, bytes):
        return Image(value)
    if isinstance(value, dict):
        if isinstance(value.get("bytes"), bytes):
            return Image(value["bytes"], value.get("path"))
        if not isinstance(value.get("path"), str) or not value["path"]:
            raise FaultError(f"its {name} holds no bytes of a picture")
        value = value["path"]
    if holds_base64(value):
        return Image(_decoded(value, name))
    if is_address(value):
        raise AddressError(f"its {name} is the address of a picture, not a picture: {value:.80}")
    return _file(value, name, folder, file, outside)


def _file(value: Json, name: str, folder: Path, file: Path, outside: bool) -> Path:
    if outside and isinstance(value, str) and value and "\0" not in value:
        paths = [place / Path(value).expanduser() for place in (folder, file.parent)]
    else:
        paths = [path for place in (folder, file.parent) if (path := below(place, value))]
    if not paths:
        raise FaultError(f"its {name} names no file below the folder: {value!r:.80}")
    return next(filter(Path.is_file, paths), paths[0])


def _decoded(text: str, name: str) -> bytes:
    start = _DATA_URI.match(text)
    if start is not None and not start[0].lower().endswith(";base64,"):
        raise FaultError(f"its {name} is a data URI, but not in base64")
    encoded = text[start.end() if start else 0 :]
    try:
        return base64.b64decode("".join(encoded.split()), validate=True)
    except ValueError as error:
        raise FaultError(f"its {name} is not base64: {error}") from None
