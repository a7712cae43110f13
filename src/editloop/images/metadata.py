"""Metadata in a picture file about how an edit was made; `PIL.Image.open(path).info` shows it.

A PNG stores it as text under the key `editloop`, a JPEG as its comment; both are ASCII JSON.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping

from editloop.errors import ImageError
from editloop.schema import Json

__all__ = ["KEYWORD", "facts_in", "stamped"]

KEYWORD = "editloop"
_PNG = b"\x89PNG"
_TEXT = KEYWORD.encode("ascii") + b"\0"  # prefix of the text in a PNG chunk
_AFTER_HEADER = 33  # bytes of a PNG's signature and its first chunk
_JFIF = b"\xff\xe0"  # marker of the JFIF segment, which must come first in a JPEG
_MAX_COMMENT = 65_533  # bytes of a JPEG comment


def stamped(data: bytes, facts: Mapping[str, Json]) -> bytes:
    """Return a PNG's or JPEG's bytes with facts inserted; the pixels are unchanged."""
    at = _insert_position(data)
    return data[:at] + _stamp(facts, png=data.startswith(_PNG)) + data[at:]


def facts_in(data: bytes) -> Mapping[str, Json] | None:
    """Return the facts that `stamped` inserted into a picture's bytes, or None."""
    at = _insert_position(data)
    if data.startswith(_PNG):
        start, length = at + 8, int.from_bytes(data[at : at + 4])
        before = _TEXT
    else:
        start, length = at + 4, int.from_bytes(data[at + 2 : at + 4]) - 2
        before = b""
    content = data[start : start + max(length, 0)]
    try:
        found = json.loads(content.removeprefix(before)) if content.startswith(before) else None
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _insert_position(data: bytes) -> int:
    if data.startswith(_PNG):
        return _AFTER_HEADER
    return 4 + int.from_bytes(data[4:6]) if data[2:4] == _JFIF else 2


def _stamp(facts: Mapping[str, Json], *, png: bool) -> bytes:
    """Return the facts as a PNG chunk or a JPEG segment."""
    text = json.dumps(dict(facts), sort_keys=True, allow_nan=False).encode("ascii")
    if png:
        content = b"tEXt" + _TEXT + text
        length, checksum = (
            struct.pack(">I", each) for each in (len(content) - 4, zlib.crc32(content))
        )
        return length + content + checksum
    if len(text) > _MAX_COMMENT:
        raise ImageError(
            "too-much-text",
            "the metadata is too long for a JPEG comment",
            value=f"{len(text)} bytes",
            fix="write a .png file",
        )
    return b"\xff\xfe" + struct.pack(">H", len(text) + 2) + text
