"""A user's pictures in files: errors name the file, and nobody else's picture is replaced."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from editloop.errors import ImageError, StoreError
from editloop.images import codec
from editloop.images.metadata import facts_in, stamped
from editloop.schema import Json, Mask, Pixels
from editloop.storage.files import Files, explained, replace_file, temporary

__all__ = [
    "check_format",
    "check_place",
    "mask_in",
    "pixels_in",
    "read_bytes",
    "read_mask",
    "read_pixels",
    "save_pixels",
]

_FORMATS = (".png", ".jpg", ".jpeg")
_OURS = "fingerprint"  # of the editor: what every edit's metadata says


def read_pixels(path: Path) -> Pixels:
    """A picture file as pixels."""
    return pixels_in(read_bytes(path), path)


def read_mask(path: Path) -> Mask:
    """A mask file; white is where editing is allowed."""
    return mask_in(read_bytes(path), path)


def read_bytes(path: Path) -> bytes:
    """A picture file's bytes."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ImageError(
            "unreadable",
            f"cannot read a picture ({error.strerror})",
            value=path,
            fix="name a file that is there and can be read",
        ) from error


def pixels_in(data: bytes, path: Path) -> Pixels:
    """The picture in the bytes of a file."""
    try:
        return codec.decode(data)
    except ImageError as error:
        raise _named(error, path) from error


def mask_in(data: bytes, path: Path) -> Mask:
    """The mask in the bytes of a file."""
    try:
        return codec.decode_mask(data)
    except ImageError as error:
        raise _named(error, path) from error


def _named(error: ImageError, path: Path) -> ImageError:
    return ImageError(error.code, error.cause, value=path, fix=error.fix)


def check_format(path: Path) -> None:
    """Raise ImageError unless a picture can be written in the format of this name."""
    if path.suffix.lower() not in _FORMATS:
        raise ImageError(
            "unknown-format", "cannot write this format", value=path.name, fix="name a .png or .jpg"
        )


def check_place(path: Path, shown: Sequence[Path]) -> None:
    """Raise what keeps an edit from being written here, before hours are spent on it.

    StoreError where the place cannot be written to, and where it holds what would be lost: one of
    the pictures that the editor is `shown`, or a file that is no edit of ours. Nothing is left
    behind.
    """
    check_format(path)
    with explained("write a picture", path):
        if path.exists():
            _check_edit(path, shown)
        folder = next(each for each in path.absolute().parents if each.exists())
        probe = temporary(folder / path.name)
        probe.touch()
        probe.unlink()


def _check_edit(path: Path, shown: Sequence[Path]) -> None:
    facts = None if any(map(path.samefile, shown)) else facts_in(path.read_bytes())
    if facts is None or _OURS not in facts:
        raise StoreError(
            "another picture is there, and would be lost",
            value=path,
            fix="name another place with -o, or move that picture away",
        )


def save_pixels(path: Path, pixels: Pixels, facts: Mapping[str, Json] | None = None) -> None:
    """Write a picture in the format of its name: .png (lossless) or .jpg (quality 95).

    `facts` (JSON) stand in its metadata, under `editloop` or as the comment. The file is there
    whole or not at all.
    """
    check_format(path)
    png = path.suffix.lower() == ".png"
    data = codec.encode_png(pixels) if png else codec.encode_jpeg(pixels, 95)
    with explained("write a picture", path):
        replace_file(Files(), path, data if facts is None else stamped(data, facts))
