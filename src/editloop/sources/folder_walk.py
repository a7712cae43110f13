"""Listing of a folder's pictures in a fixed order, without opening any of them.

Files with a picture's extension are listed folder by folder, with names sorted by their bytes.
Names that start with a dot are skipped. Links to folders are followed, except back into a parent
folder.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from editloop.errors import StoreError
from editloop.kernel.steps import Fail
from editloop.schema import Json
from editloop.sources.captions import METADATA, SIDE_CARS, Metadata, read_metadata
from editloop.sources.files import EXTENSIONS, size_and_time

__all__ = ["FolderEntry", "walk"]


@dataclass(frozen=True, slots=True)
class FolderEntry:
    """A picture, or a faulty line of metadata (`is_line`): its location and its facts.

    `relative` is its path below the root; `facts` is JSON and changes when the picture or its
    caption does.
    """

    relative: str
    facts: dict[str, Json]
    is_line: bool = False


_Known = tuple[tuple[str, Metadata], ...]  # (folder prefix, its metadata), nearest folder first


def walk(root: Path, include: Sequence[str] = ("*",)) -> Iterator[FolderEntry]:
    """Yield the pictures below `root` whose relative path matches a pattern (`*` matches `/` too).

    Raises StoreError for a folder that cannot be listed.
    """
    for listed in _walk(root, "", (), ()):
        if listed.is_line or any(fnmatchcase(listed.relative, pattern) for pattern in include):
            yield listed


def _walk(
    folder: Path, prefix: str, known: _Known, above: tuple[tuple[int, int], ...]
) -> Iterator[FolderEntry]:
    try:
        status = folder.stat()
        here = (status.st_dev, status.st_ino)
        if here in above:
            return
        with os.scandir(folder) as listing:
            entries = {entry.name: entry for entry in listing if not entry.name.startswith(".")}
        if METADATA in entries:
            known = ((prefix, read_metadata(folder / METADATA)), *known)
    except OSError as error:
        raise StoreError("cannot list a folder", value=folder, fix=str(error)) from error
    if METADATA in entries:
        yield from _faults(prefix, known[0][1])
    for name in sorted(entries, key=os.fsencode):
        if _is_folder(entries[name]):
            yield from _walk(folder / name, f"{prefix}{name}/", known, (*above, here))
        elif Path(name).suffix.lower() in EXTENSIONS:
            yield FolderEntry(prefix + name, _facts(entries, name, prefix, known))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _faults(prefix: str, metadata: Metadata) -> Iterator[FolderEntry]:
    for line, fault in metadata.faults:
        yield FolderEntry(
            f"{prefix}{METADATA}#{line}", {"fault": [fault.code, fault.message]}, True
        )


def _facts(
    entries: dict[str, os.DirEntry[str]], name: str, prefix: str, known: _Known
) -> dict[str, Json]:
    """Return size and time of the picture's file, and its side-car or its caption in metadata."""
    facts: dict[str, Json] = {"file": size_and_time(entries[name])}
    stem = name.removesuffix(Path(name).suffix)
    for suffix in SIDE_CARS:
        if side_car := entries.get(stem + suffix):
            return {**facts, "side_car": suffix, "side_car_file": size_and_time(side_car)}
    for folder, metadata in known:
        caption = metadata.captions.get((prefix + name).removeprefix(folder))
        if isinstance(caption, Fail):
            return {**facts, "fault": [caption.code, caption.message]}
        if caption is not None:
            return {**facts, "caption": caption}
    return facts
