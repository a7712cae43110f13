"""Fast checks of a data set's pictures before a long run, mostly without decoding them.

A PNG is complete if the checksums of its chunks are right up to the end chunk, a JPEG if it reaches
its end marker. A picture of another format, or one that fails this check, is decoded instead.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from editloop.errors import ImageError
from editloop.images.codec import MAX_PIXELS, decode_rgb
from editloop.images.normalise import JPEG, PNG, check_size
from editloop.schema import Image
from editloop.sources.entries import Entry, Picture, Problem
from editloop.sources.files import read_file

__all__ = ["check_session", "picture_size", "same_shape"]

_COMPRESSED = frozenset({b"iCCP", b"iTXt", b"zTXt"})  # chunks that may decompress to megabytes
_FRAMES = frozenset({0xC0, 0xC1, 0xC2})  # JPEG: baseline, extended and progressive Huffman
_SCAN = 0xDA


def check_session(entries: Sequence[Entry], folder: Path) -> Iterator[Problem]:
    """Yield every problem in a session's texts and pictures; each file is read once."""
    sizes: dict[Picture, tuple[int, int] | Problem] = {}
    for entry in entries:
        if not entry.sample.instruction.strip():
            yield Problem(entry.where, "the instruction is empty", "add one, or remove the edit")
        own: dict[str, tuple[int, int]] = {}
        for name, picture in entry.pictures.items():
            size = sizes.get(picture)
            if size is None:
                size = sizes[picture] = _size(picture, f"{entry.where} {name}", folder)
                if isinstance(size, Problem):
                    yield size
            if not isinstance(size, Problem):
                own[name] = size
        yield from _other_sizes(entry, own)


def _other_sizes(entry: Entry, sizes: dict[str, tuple[int, int]]) -> Iterator[Problem]:
    source = sizes.pop("source", None)
    for name, size in sizes.items():
        if source is not None and not same_shape(size, source):
            yield Problem(
                entry.where,
                f"the {name} is {size[1]} x {size[0]}, its source {source[1]} x {source[0]}",
                "give both the same aspect ratio; they may differ in scale",
            )


def same_shape(first: tuple[int, int], second: tuple[int, int]) -> bool:
    """Return whether two sizes have the same aspect ratio, up to the rounding of a side."""
    factor = max(first) / max(second)
    return all(abs(a - b * factor) <= max(1.0, factor) for a, b in zip(first, second, strict=True))


def _size(picture: Picture, place: str, folder: Path) -> tuple[int, int] | Problem:
    """Return (height, width), or the problem if the picture cannot be read."""
    try:
        if isinstance(picture, Image):
            return picture_size(picture.bytes)
        place = picture.relative_to(folder).as_posix()
        return picture_size(read_file(picture))
    except FileNotFoundError:
        return Problem(place, "the file is missing", "unpack the data set again")
    except OSError as error:
        return Problem(place, f"the file cannot be opened: {error.strerror}", "check its access")
    except ImageError as error:
        return Problem(place, f"the picture cannot be read: {error.cause}", error.fix or "fix it")


def picture_size(data: bytes) -> tuple[int, int]:
    """Return (height, width) of a complete picture; raise ImageError for any other."""
    size = _whole_png(data) if data.startswith(PNG) else _whole_jpeg(data)
    if size is None:
        height, width = decode_rgb(data).shape[:2]
        return height, width
    check_size(*size, MAX_PIXELS)
    return size


def _whole_png(data: bytes) -> tuple[int, int] | None:
    """Return (height, width) of a PNG with intact chunks; None if it has to be decoded."""
    view, at, kinds = memoryview(data), len(PNG), set[bytes]()
    while at + 12 <= len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4])
        kind, stored = data[at + 4 : at + 8], data[end : end + 4]
        if kind in _COMPRESSED or zlib.crc32(view[at + 4 : end]) != int.from_bytes(stored):
            return None
        kinds.add(kind)
        if kind == b"IEND":
            whole = data[12:16] == b"IHDR" and b"IDAT" in kinds
            return (int.from_bytes(data[20:24]), int.from_bytes(data[16:20])) if whole else None
        at = end + 4
    return None


def _whole_jpeg(data: bytes) -> tuple[int, int] | None:
    """Return (height, width) of a JPEG with an end marker; None if it has to be decoded."""
    if not data.startswith(JPEG) or not data.endswith(b"\xff\xd9"):
        return None
    size, at = None, 2
    while at + 10 <= len(data) and data[at] == 0xFF and data[at + 1] != _SCAN:
        if data[at + 1] in _FRAMES:
            size = int.from_bytes(data[at + 5 : at + 7]), int.from_bytes(data[at + 7 : at + 9])
        at += 2 + int.from_bytes(data[at + 2 : at + 4])
    return size if data[at + 1 : at + 2] == bytes([_SCAN]) else None
