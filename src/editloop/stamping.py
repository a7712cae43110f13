"""Facts in a picture's file: how an edit was made, where `PIL.Image.open(path).info` shows it.

A PNG has them as text under `editloop`, a JPEG as its comment; both are JSON in ASCII.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping

from editloop.errors import ImageError
from editloop.schema import Json

__all__ = ["KEYWORD", "stamped"]

KEYWORD = "editloop"
_AFTER_HEADER = 33  # bytes of a PNG's signature and its first chunk
_AFTER_START = 2  # bytes of a JPEG's first marker
_LONGEST = 65_533  # bytes of a JPEG's comment


def stamped(data: bytes, facts: Mapping[str, Json]) -> bytes:
    """A PNG's or JPEG's bytes with facts in them; pixels stay."""
    text = json.dumps(dict(facts), sort_keys=True, allow_nan=False).encode("ascii")
    if data.startswith(b"\x89PNG"):
        content = b"tEXt" + KEYWORD.encode("ascii") + b"\0" + text
        chunk = struct.pack(">I", len(content) - 4) + content
        chunk += struct.pack(">I", zlib.crc32(content))
        return data[:_AFTER_HEADER] + chunk + data[_AFTER_HEADER:]
    if len(text) > _LONGEST:
        raise ImageError(
            "too-much-text",
            "a JPEG's comment cannot hold how it was made",
            value=f"{len(text)} bytes",
            fix="name a .png",
        )
    segment = b"\xff\xfe" + struct.pack(">H", len(text) + 2) + text
    return data[:_AFTER_START] + segment + data[_AFTER_START:]
