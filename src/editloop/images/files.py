"""Users' picture files: errors name the file, and only our own edits are overwritten."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from editloop.errors import ImageError, StoreError
from editloop.images import codec
from editloop.images.masks import BY_CONTENT, MaskReading
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
_OURS = "fingerprint"  # of the editor: in the metadata of every edit


def read_pixels(path: Path) -> Pixels:
    """Read a picture file as pixels."""
    return pixels_in(read_bytes(path), path)


def read_mask(
    path: Path,
    reading: MaskReading = BY_CONTENT,
    *,
    photo: bytes | None = None,
    allow_large: bool = False,
) -> Mask:
    """Read a mask file by a rule; `photo` is the file of the picture that it belongs to."""
    return mask_in(read_bytes(path), path, reading, photo=photo, allow_large=allow_large)


def read_bytes(path: Path) -> bytes:
    """Read the bytes of a picture file."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ImageError(
            "unreadable",
            f"cannot read a picture ({error.strerror})",
            value=path,
            fix="give a file that exists and is readable",
        ) from error


def pixels_in(data: bytes, path: Path, *, allow_large: bool = False) -> Pixels:
    """Decode a picture from the bytes of a file; errors name `path`.

    One of more than 64 megapixels needs `allow_large`.
    """
    try:
        return codec.decode(data, max_pixels=_most_pixels(allow_large))
    except ImageError as error:
        raise _about_size(error, allow_large).of(path) from error


def mask_in(
    data: bytes,
    path: Path,
    reading: MaskReading = BY_CONTENT,
    *,
    photo: bytes | None = None,
    allow_large: bool = False,
) -> Mask:
    """Decode a mask from the bytes of a file, as `codec.decode_mask`; errors name `path`."""
    try:
        most = _most_pixels(allow_large)
        return codec.decode_mask(data, max_pixels=most, reading=reading, photo=photo)
    except ImageError as error:
        raise _about_size(error, allow_large).of(path) from error


def _most_pixels(allow_large: bool) -> int:
    return codec.MAX_SIDE**2 if allow_large else codec.MAX_PIXELS


def _about_size(error: ImageError, allow_large: bool) -> ImageError:
    """Return an error with the way to read a large picture, if its size is the cause."""
    if error.code != "too-large" or allow_large:
        return error
    fix = "make it smaller, or read it all the same with --allow-large (allow_large=True)"
    return ImageError(error.code, error.cause, value=error.value, fix=fix)


def check_format(path: Path) -> None:
    """Raise ImageError unless a picture can be written in the format of this file name."""
    if path.suffix.lower() not in _FORMATS:
        raise ImageError(
            "unknown-format", "cannot write this format", value=path.name, fix="use .png or .jpg"
        )


def check_place(path: Path, shown: Sequence[Path]) -> None:
    """Raise an error if an edit cannot be written to `path`, before time is spent on it.

    Raises StoreError if the folder is not writable, or if the file would be overwritten but is one
    of the pictures that the editor is `shown` or not an edit of ours. Leaves no files behind.
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
            "another picture would be overwritten",
            value=path,
            fix="choose another path with -o, or move that picture away",
        )


def save_pixels(path: Path, pixels: Pixels, facts: Mapping[str, Json] | None = None) -> None:
    """Write a picture in the format of its name: .png (lossless) or .jpg (quality 95).

    `facts` (JSON) are stored in its metadata, under `editloop` or as the comment. The file is
    written atomically.
    """
    check_format(path)
    png = path.suffix.lower() == ".png"
    data = codec.encode_png(pixels) if png else codec.encode_jpeg(pixels, 95)
    with explained("write a picture", path):
        replace_file(Files(), path, data if facts is None else stamped(data, facts))
