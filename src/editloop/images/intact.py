"""Whether an encoded picture is whole: decoded without a warning, nothing after its end mark.

libjpeg fills what it cannot read with grey and only warns. Pillow hides the warnings and OpenCV
prints them, so JPEGs are decoded by libjpeg-turbo's own interface, which reports them.

After the end mark may stand padding, what the picture itself announces (the further pictures of an
MPO or Ultra HDR photo, the video of a motion photo), and trailers that makers of phones and cameras
are known to write (those that ExifTool reads).
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from typing import Literal

import simplejpeg

from editloop.errors import ImageError
from editloop.schema import Pixels

__all__ = ["JPEG", "PNG", "check_end", "check_rows", "end_of", "png_chunks", "read_jpeg"]

# The signatures of the two most common formats.
PNG = b"\x89PNG\r\n\x1a\n"
JPEG = b"\xff\xd8\xff"

_START, _END, _SCAN = 0xD8, 0xD9, 0xDA  # JPEG markers
_MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])", re.DOTALL)  # no stuffing, no restart marker
_PADDING = b"\0\xff \t\r\n"
# Segments that announce data after the end mark, and the trailers of Samsung (SEFT), Canon, Vivo,
# Huawei, OnePlus, Insta360, AFCP, FotoStation, PhotoMechanic, MIE, and videos (ftyp).
_ANNOUNCES = re.compile(rb"MPF\0|http://ns\.adobe\.com/xap/1\.0/\0.*?(Container|MicroVideo)", re.S)
_TRAILER_STARTS = re.compile(rb"[\0\xff\s]*.{0,4}(ftyp|CANON OPTIONAL DATA\0|vivo\{)", re.DOTALL)
_TRAILER_ENDS = re.compile(
    rb"(SEFT|LIVE_\d+\s*|jxrs.{3}\0|8db42d694ccc418790edff439fe026bf|AXS[!*].{8}"
    rb"|\xa1\xb2\xc3\xd4|cbipcbbl|zmie~\0\0\x06.{4}[\x10\x18]\x04)\Z",
    re.DOTALL,
)
# A PNG's channels by colour type; the origin and step of each pass of an interlaced one.
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_PASSES = [
    *((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4)),
    *((0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)),
]
_AT_ONCE = 1 << 20  # bytes that are unpacked at once
# Samsung phones write baseline scans with the parameters of a progressive one; all decoders ignore
# them, but the warning would hide later ones.
_HARMLESS = "Invalid SOS parameters"
_SEQUENTIAL = bytes([0, 63, 0])


def read_jpeg(data: bytes, colours: Literal["RGB", "BGR", "GRAY", "CMYK"]) -> Pixels:
    """Decode a JPEG: [height, width, channels]; raise ImageError if libjpeg warns of anything.

    Orientation and colour profile are not applied.
    """
    try:
        pixels: Pixels = _decoded(data, colours)
    except ValueError as error:
        text = str(error)
        if text.startswith("Premature end"):
            cause = "the picture ends before it is whole"
            raise ImageError("truncated", cause, value=text, fix="fetch it again") from error
        cause = "the picture is damaged"
        raise ImageError("broken", cause, value=text[:200], fix="fetch it again") from error
    return pixels


def check_end(data: bytes) -> None:
    """Raise ImageError if a JPEG, PNG, GIF or WebP is followed by data that does not belong to it.

    A picture without an end mark passes: its decoder finds that it is truncated.
    """
    end = end_of(data)
    if end is None or end >= len(data):
        return
    tail = data[end:]
    if not tail.strip(_PADDING) or _belongs(data, tail):
        return
    raise ImageError(
        "trailing-data",
        "more data follows the picture's end mark",
        value=f"{len(data) - end} bytes from byte {end}",
        fix="fetch it again, or save the picture alone",
    )


def end_of(data: bytes) -> int | None:
    """Return the position after a picture's end mark; None without one, or for other formats."""
    if data.startswith(JPEG):
        return next((end for marker, _, end in _segments(data) if marker == _END), None)
    if data.startswith(PNG):
        return next((end + 4 for kind, _, end in png_chunks(data) if kind == b"IEND"), None)
    if data.startswith(b"GIF8"):
        return _gif_end(data)
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        size = int.from_bytes(data[4:8], "little")
        return 8 + size + size % 2
    return None


def png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield each whole chunk's type, and where its content starts and ends, to the end mark."""
    at = len(PNG)
    while at + 12 <= len(data):
        kind, end = data[at + 4 : at + 8], at + 8 + int.from_bytes(data[at : at + 4])
        yield kind, at + 8, end
        if kind == b"IEND":
            return
        at = end + 4


def check_rows(data: bytes) -> None:
    """Raise ImageError if a PNG's data unpack to fewer bytes than its rows have.

    Pillow leaves the missing rows black without a word.
    """
    missing, unpacker = _row_bytes(data[16:29]), zlib.decompressobj()
    for kind, start, end in png_chunks(data):
        packed, unpacked = data[start:end], _AT_ONCE if kind == b"IDAT" else 0
        while unpacked == _AT_ONCE and missing > 0:
            unpacked = len(unpacker.decompress(packed, _AT_ONCE))
            packed = unpacker.unconsumed_tail
            missing -= unpacked
    if missing > 0:
        value = f"{missing} bytes of its rows are missing"
        raise ImageError("broken", "the picture is damaged", value=value, fix="fetch it again")


def _row_bytes(header: bytes) -> int:
    """Return the bytes of all rows of a PNG, each with its filter's type (PNG, section 7 to 9)."""
    width, height = int.from_bytes(header[:4]), int.from_bytes(header[4:8])
    bits = header[8] * _CHANNELS.get(header[9], 1)
    total = 0
    for left, top, right, down in _PASSES if header[12] else [(0, 0, 1, 1)]:
        columns, rows = -((left - width) // right), -((top - height) // down)
        if columns > 0 and rows > 0:
            total += rows * (1 - (-columns * bits // 8))
    return total


def _decoded(data: bytes, colours: str) -> Pixels:
    try:
        pixels: Pixels = simplejpeg.decode_jpeg(data, colours)
    except ValueError as error:
        if _HARMLESS not in str(error):
            raise
        pixels = simplejpeg.decode_jpeg(_sequential(data), colours)
    return pixels


def _sequential(data: bytes) -> bytes:
    repaired = bytearray(data)
    for marker, _, end in _segments(data):
        if marker == _SCAN:
            repaired[end - 3 : end] = _SEQUENTIAL
    return bytes(repaired)


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield each JPEG segment's marker, and where its content starts and ends, to the end mark."""
    at = 0
    while (found := _MARKER.search(data, at)) is not None:
        marker, at = found[1][0], found.end()
        if marker in (_START, _END):
            yield marker, at, at
            if marker == _END:
                return
            continue
        end = at + int.from_bytes(data[at : at + 2])
        yield marker, at + 2, end
        at = max(end, at + 2)


def _belongs(data: bytes, tail: bytes) -> bool:
    if not data.startswith(JPEG):
        return False
    if _TRAILER_STARTS.match(tail) or _TRAILER_ENDS.search(tail[-64:]):
        return True
    return any(_ANNOUNCES.match(data, start, end) for _, start, end in _segments(data))


def _gif_end(data: bytes) -> int | None:
    """Return the end of a GIF, after its blocks and their sub-blocks (GIF89a, section 15 on)."""
    at = 13 + _colours(data[10:11])
    while at < len(data):
        kind = data[at]
        if kind == 0x3B:
            return at + 1
        if kind not in (0x21, 0x2C):
            return None
        at += 2 if kind == 0x21 else 11 + _colours(data[at + 9 : at + 10])
        while at < len(data) and data[at]:
            at += 1 + data[at]
        at += 1
    return None


def _colours(flags: bytes) -> int:
    """Return the size of the colour table that a GIF's flags announce, in bytes."""
    return 3 * 2 ** ((flags[0] & 7) + 1) if flags and flags[0] & 0x80 else 0
