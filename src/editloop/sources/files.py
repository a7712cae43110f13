"""Local picture files: known extensions, file URIs, reading with a size limit, change detection."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote_to_bytes, urlsplit

from editloop.errors import ImageError
from editloop.storage.unfolding import MAX_BYTES, MAX_TEXT

__all__ = [
    "EXTENSIONS",
    "MAX_BYTES",
    "MAX_LINE",
    "MAX_TEXT",
    "names_a_file",
    "names_a_picture",
    "path_of",
    "read_file",
    "read_lines",
    "relative",
    "size_and_time",
]

_READ = (
    *(".apng", ".avif", ".bmp", ".dib", ".gif", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg"),
    *(".jpx", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"),
)
_KNOWN_UNREAD = (".heic", ".heif", ".jxl", ".psd", ".svg")  # unsupported: quarantined, not ignored
EXTENSIONS = frozenset({*_READ, *_KNOWN_UNREAD})  # in lower case

_FILE_NAME = re.compile(r"\S*[^\s.]\.[A-Za-z][A-Za-z0-9]{1,4}")  # one word with a suffix
_PLACE = re.compile(r"(/|\./|\.\./|~/|[A-Za-z]:\\|\w+://)\S")  # how a path or a URI begins

MAX_LINE = 16_000_000  # bytes of a line of JSON


def names_a_picture(text: str) -> bool:
    """Return whether a text is one word that ends as a picture file's name does."""
    return bool(_FILE_NAME.fullmatch(text)) and Path(text).suffix.lower() in EXTENSIONS


def names_a_file(text: str) -> bool:
    """Return whether a text looks like a file's name, or is the name of a file that exists."""
    looks = _FILE_NAME.fullmatch(text) or _PLACE.match(text)
    if looks or Path(text).suffix.lower() in EXTENSIONS:
        return True
    try:
        return Path(text).is_file()
    except (OSError, ValueError):  # too long for a name, or with a NUL
        return False


def path_of(uri: str) -> Path:
    """Return the path of a `file:` URI (`Path.as_uri`), byte for byte."""
    return Path(os.fsdecode(unquote_to_bytes(urlsplit(uri).path)))


def relative(path: Path, folder: Path) -> str:
    """Return a file's path within a folder, or its whole path if it lies elsewhere."""
    inside = path.is_relative_to(folder)
    return (path.relative_to(folder) if inside else path.absolute()).as_posix()


def read_file(path: Path) -> bytes:
    """Read a regular file; raise ImageError if it is larger than `MAX_BYTES`.

    Raises OSError if it cannot be read. Anything but a regular file (such as a pipe) is never
    opened, because that could block forever.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise FileNotFoundError(f"not a regular file: {path.name!a}")
    if status.st_size > MAX_BYTES:
        raise ImageError(
            "too-large",
            f"the file has more than {MAX_BYTES} bytes",
            value=status.st_size,
            fix="make it smaller",
        )
    return path.read_bytes()


def read_lines(file: BinaryIO) -> Iterator[tuple[int, bytes | None]]:
    """Yield the numbers and bytes of the lines that are not blank; None for one above `MAX_LINE`.

    A line without an end may have the size of the disk, so it is read in pieces.
    """
    number = 0
    while piece := file.readline(MAX_LINE):
        number += 1
        line: bytes | None = piece
        while len(piece) == MAX_LINE and not piece.endswith(b"\n"):
            piece, line = file.readline(MAX_LINE), None
        if line is None or line.strip():
            yield number, line


def size_and_time(file: Path | os.DirEntry[str]) -> list[int] | None:
    """Return [bytes, modification time in ns]; None for a missing file or a dangling link."""
    try:
        status = file.stat()
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns]
