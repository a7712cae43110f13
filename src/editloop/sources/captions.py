"""Captions stored beside pictures: side-car `.txt` and `.json` files, and `metadata.jsonl`.

A caption is text, None if there is no caption, or a `Fail` with the reason why it cannot be read,
so that a picture with a broken caption is not silently treated as having none. Text is kept byte
for byte, except that surrounding white space is removed.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from editloop.errors import FailureClass
from editloop.kernel.steps import Fail
from editloop.schema import Json
from editloop.sources.files import EXTENSIONS, read_lines
from editloop.sources.text_tables import row_in

__all__ = ["METADATA", "SIDE_CARS", "Caption", "Metadata", "read_metadata", "read_side_car"]

Caption: TypeAlias = str | Fail | None

METADATA = "metadata.jsonl"
SIDE_CARS = (".txt", ".json")  # the first that exists is used

_MAX_BYTES = 1_000_000  # of one side-car: a caption is a sentence


@dataclass(frozen=True, slots=True)
class Metadata:
    """The content of a `metadata.jsonl`: captions by `file_name`, and faults with line numbers."""

    captions: dict[str, Caption] = field(default_factory=dict)
    faults: list[tuple[int, Fail]] = field(default_factory=list)


def read_side_car(path: Path) -> Caption:
    """Read the caption from a `.txt`, or from `caption` or `text` in a `.json`."""
    try:
        if path.stat().st_size > _MAX_BYTES:
            return _unreadable(f"{path.name!a} is larger than {_MAX_BYTES} bytes")
        text = path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        return _unreadable(f"{path.name!a}: {error}")
    if path.suffix == ".txt":
        return _clean(text)
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        return _unreadable(f"{path.name!a} is not JSON: {error}")
    return _caption_in(content) if isinstance(content, dict) else _unreadable("it is not a mapping")


def read_metadata(path: Path) -> Metadata:
    """Read a `metadata.jsonl`; lines that name no picture in or below its folder are faults.

    Raises OSError if the file itself cannot be read.
    """
    found = Metadata()
    for number, line in _lines(path):
        entry = _entry(line)
        if isinstance(entry, Fail):
            found.faults.append((number, entry))
            continue
        name, caption = entry
        fault = _misplaced(name, path.parent, found)
        if fault is None:
            found.captions[name] = caption
        else:
            found.faults.append((number, fault))
    return found


def _lines(path: Path) -> Iterator[tuple[int, bytes | None]]:
    with path.open("rb") as file:
        yield from read_lines(file)


def _entry(line: bytes | None) -> tuple[str, Caption] | Fail:
    content = row_in(line)
    if isinstance(content, str):
        return _permanent("metadata-unreadable", content)
    if not isinstance(content.get("file_name"), str):
        return _permanent("metadata-unreadable", "no file_name")
    return posixpath.normpath(content["file_name"]), _caption_in(content)


def _misplaced(name: str, folder: Path, found: Metadata) -> Fail | None:
    """Return the fault of an entry's picture (duplicate, outside the folder, missing), or None."""
    if name in found.captions:
        return _permanent("caption-twice", f"an earlier line describes {name!a}")
    if name.startswith(("/", "../")):
        return _permanent("picture-missing", f"{name!a} lies outside the folder")
    try:
        there = Path(name).suffix.lower() in EXTENSIONS and (folder / name).is_file()
    except (OSError, ValueError):  # an invalid file name: NUL, a lone surrogate
        there = False
    return None if there else _permanent("picture-missing", f"no picture {name!a}")


def _caption_in(content: dict[str, Json]) -> Caption:
    text = content.get("caption", content.get("text"))
    if text is None:
        return None
    return _clean(text) if isinstance(text, str) else _unreadable("the caption is not a text")


def _clean(text: str) -> Caption:
    try:
        text.encode()
    except UnicodeEncodeError:
        return _unreadable("the caption holds half of a surrogate pair")
    return text.strip() or None


def _unreadable(message: str) -> Fail:
    return _permanent("caption-unreadable", message)


def _permanent(code: str, message: str) -> Fail:
    return Fail(code, FailureClass.PERMANENT, message)
