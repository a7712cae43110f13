"""Checks of a data set's pictures before a long run.

Every picture is decoded, except a plain PNG whose chunks have the right checksums.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Literal, TypeAlias

from editloop.errors import ImageError
from editloop.images.codec import MAX_PIXELS, decode, decode_mask, is_plain
from editloop.images.intact import PNG, png_chunks
from editloop.images.masks import BY_CONTENT, MASK_CODES, MaskReading
from editloop.images.normalise import check_size
from editloop.images.shapes import difference, is_near, same_shape
from editloop.schema import Image
from editloop.sources.entries import REFERENCE, Entry, Picture, Problem
from editloop.sources.files import read_file, relative

__all__ = ["check_session", "picture_size"]

_Measure: TypeAlias = Callable[[bytes], tuple[int, int]]  # (height, width) of a picture's bytes


def check_session(
    entries: Sequence[Entry], folder: Path, reading: MaskReading | None = BY_CONTENT
) -> Iterator[Problem]:
    """Yield every problem in a session's texts and pictures; each file is read once.

    A picture whose shape differs a little from its source's costs nothing.
    `reading` decides where masks allow editing; with None they are not read.
    """
    sizes: dict[Picture, tuple[int, int] | Problem] = {}
    for entry in entries:
        if not entry.sample.instruction.strip():
            yield Problem(
                entry.where, "the instruction is empty", "add one, or remove the edit", "edit"
            )
        own: dict[str, tuple[int, int]] = {}
        for name, picture in entry.pictures.items():
            if name == "mask" and reading is None:
                continue
            size = None if name == "mask" else sizes.get(picture)
            if size is None:
                measure: _Measure = picture_size
                if name == "mask" and reading is not None:
                    photo = entry.source if "source" in own else None
                    measure = partial(_mask_size, photo=photo, reading=reading)
                size = sizes[picture] = _size(picture, f"{entry.where} {name}", folder, measure)
                if isinstance(size, Problem):
                    yield size
            if not isinstance(size, Problem):
                own[name] = size
        yield from _other_sizes(entry, own)


def _other_sizes(entry: Entry, sizes: dict[str, tuple[int, int]]) -> Iterator[Problem]:
    source = sizes.pop("source", None)
    for name, size in sizes.items():
        if name.startswith(REFERENCE):
            continue
        if source is None or same_shape(size, source):
            continue
        yield Problem(
            entry.where,
            f"the {name} is {size[1]} x {size[0]}, its source {source[1]} x {source[0]}: the "
            f"aspect ratios differ by {difference(size, source):.1%}",
            "import the data with --fit resize, crop or pad, and give the run's folder",
            "nothing" if is_near(size, source) else "edit",
        )


def _size(
    picture: Picture, place: str, folder: Path, measure: _Measure
) -> tuple[int, int] | Problem:
    """Return (height, width) as measured, or the problem if the picture cannot be read."""
    try:
        if isinstance(picture, Image):
            return measure(picture.bytes)
        place = f"{place} ({relative(picture, folder)})"
        return measure(read_file(picture))
    except FileNotFoundError:
        return Problem(place, "the file is missing", "unpack the data set again", "edit")
    except OSError as error:
        cause = f"the file cannot be opened: {error.strerror}"
        return Problem(place, cause, "check its access", "edit")
    except ImageError as error:
        detail = f": {error.value}" if error.value else ""
        cause = f"the picture cannot be read: {error.cause}{detail}"
        costs: Literal["set", "edit"] = "set" if error.code in MASK_CODES else "edit"
        return Problem(place, cause, error.fix or "fix it", costs)


def _mask_size(data: bytes, *, photo: Picture | None, reading: MaskReading) -> tuple[int, int]:
    """Return a mask's (height, width), beside its upright photo; ImageError if it is unclear."""
    beside = (
        photo.bytes if isinstance(photo, Image) else None if photo is None else read_file(photo)
    )
    height, width = decode_mask(data, reading=reading, photo=beside).shape
    return height, width


def picture_size(data: bytes) -> tuple[int, int]:
    """Return (height, width) of a picture, upright; raise ImageError unless it is whole."""
    if not (data.startswith(PNG) and is_plain(data) and _has_right_checksums(data)):
        height, width = decode(data).shape[:2]
        return height, width
    size = int.from_bytes(data[20:24]), int.from_bytes(data[16:20])
    check_size(*size, MAX_PIXELS)
    return size


def _has_right_checksums(data: bytes) -> bool:
    """Return whether all chunks of a complete PNG are intact, and some of them are pixels."""
    view, chunks = memoryview(data), list(png_chunks(data))
    return any(kind == b"IDAT" for kind, _, _ in chunks) and all(
        zlib.crc32(view[start - 4 : end]) == int.from_bytes(data[end : end + 4])
        for _, start, end in chunks
    )
