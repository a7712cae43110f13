"""Samples of WebDataset shards (tar files) as rows: all, all without pictures, or selected rows.

Consecutive files with the same key (the name up to its first dot) are one row. The part after that
dot gives the column: `0001.source.png` is the column `source`, `0001.jpg` is `jpg`; the fields of a
`.json` are columns themselves; `key` is the key. Other file types are ignored, and nothing is
unpickled.

Archives that were joined by `cat` are all read. An archive without its end mark is cut: an error.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import BinaryIO, NamedTuple

from editloop.errors import CorruptError
from editloop.schema import Json
from editloop.sources.files import EXTENSIONS, MAX_BYTES
from editloop.storage.files import explained

__all__ = ["all_rows", "column_names", "rows_at", "rows_without_pictures"]

_TEXTS = (".txt", ".text", ".cls")
_MAX_TEXT = 1_000_000  # bytes of one text or JSON file


class _Member(NamedTuple):
    """A file in the shard; `data` is empty for a picture that was not requested."""

    key: str
    suffix: str  # `source.png` of `0001.source.png`
    data: bytes
    size: int


class _FaultError(Exception):
    """A fault of a sample."""


def all_rows(path: Path) -> Iterator[Mapping[str, Json] | str]:
    """Yield every sample, or its fault as text; raise CorruptError if the shard cannot be read."""
    return (_row(files) for _, files in _samples(path, None))


def rows_without_pictures(path: Path) -> Iterator[Mapping[str, Json] | str]:
    """Yield every sample with placeholders for its pictures, or its fault as text."""
    return (_row(files) for _, files in _samples(path, ()))


def rows_at(path: Path, rows: Sequence[int]) -> dict[int, Mapping[str, Json]]:
    """Return the selected samples by number, without those that cannot be read."""
    wanted = set(rows)
    found = {at: _row(files) for at, files in _samples(path, wanted) if at in wanted}
    return {at: row for at, row in found.items() if not isinstance(row, str)}


def column_names(path: Path) -> list[str]:
    """Return the columns of the first sample."""
    row = next(iter(rows_without_pictures(path)), "")
    return [] if isinstance(row, str) else list(row)


def _samples(
    path: Path, wanted: set[int] | tuple[()] | None
) -> Iterator[tuple[int, Sequence[_Member]]]:
    """Yield each sample's files; pictures are read only for the samples in `wanted` (None: all)."""
    with _opened(path) as file:
        named = ((_named(member.name), shard, member) for shard, member in _members(file))
        regular = ((*name, shard, member) for name, shard, member in named if name is not None)
        last = max(wanted, default=-1) if wanted else None
        for at, (_, group) in enumerate(groupby(regular, key=lambda item: item[0])):
            if last is not None and at > last:
                return
            pictures = wanted is None or at in wanted
            yield at, [_read(*file, pictures) for file in group]


def _members(file: BinaryIO) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
    """Yield the files of all archives in a shard, each with its archive."""
    start: int | None = 0
    while start is not None:
        file.seek(start)
        with tarfile.open(fileobj=file, mode="r:") as shard:
            members = 0
            while (member := shard.next()) is not None:
                shard.members = []  # type: ignore[attr-defined]  # do not keep them in memory
                members += 1
                if member.isfile():
                    yield shard, member
            if start and not members:
                raise tarfile.ReadError(f"data after the end mark, at byte {start}, is no archive")
            start = _next_archive(file, shard.offset)


def _next_archive(file: BinaryIO, end: int) -> int | None:
    """Return where another archive begins after the end mark at `end`; None at the file's end."""
    file.seek(end)
    if not (block := file.read(tarfile.BLOCKSIZE)):
        raise tarfile.ReadError(f"it ends at byte {end} without an end mark")
    while block and not block.strip(b"\0"):
        end += len(block)
        block = file.read(tarfile.BLOCKSIZE)
    return end if block else None


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        with explained("read a data set", path), path.open("rb") as file:
            yield file
    except (tarfile.TarError, EOFError) as error:
        raise CorruptError(
            "a tar file cannot be read",
            value=path,
            fix=f"download it again; shards must be plain .tar files, not compressed ({error})",
        ) from error


def _named(path: str) -> tuple[str, str] | None:
    """Return the key and the suffix of a shard's file; None if it is hidden or has no suffix."""
    folder, _, name = path.rpartition("/")
    stem, dot, suffix = name.partition(".")
    if not stem or not dot:
        return None
    return (f"{folder}/{stem}".removeprefix("./").removeprefix("/"), suffix.lower())


def _read(
    key: str, suffix: str, shard: tarfile.TarFile, member: tarfile.TarInfo, pictures: bool
) -> _Member:
    last = f".{suffix.rpartition('.')[2]}"
    asked = pictures if last in EXTENSIONS else last in (*_TEXTS, ".json")
    small = member.size <= (MAX_BYTES if last in EXTENSIONS else _MAX_TEXT)
    file = shard.extractfile(member) if asked and small else None
    return _Member(key, suffix, b"" if file is None else file.read(), member.size)


def _row(files: Sequence[_Member]) -> Mapping[str, Json] | str:
    row: dict[str, Json] = {"key": files[0].key}
    try:
        for file in files:
            for name, value in _columns(file).items():
                row.setdefault(name, value)
    except _FaultError as fault:
        return str(fault)
    return row


def _columns(file: _Member) -> dict[str, Json]:
    front, _, last = file.suffix.rpartition(".")
    name = front or last
    if f".{last}" in EXTENSIONS:
        if file.size > MAX_BYTES:
            raise _FaultError(f"its {name} has more than {MAX_BYTES} bytes")
        return {name: {"bytes": file.data, "path": f"{file.key.rpartition('/')[2]}.{file.suffix}"}}
    if f".{last}" in _TEXTS:
        return {name: _text(file, name).strip()}
    if last != "json":
        return {}
    try:
        content = json.loads(_text(file, name))
    except (ValueError, RecursionError) as error:
        raise _FaultError(f"its {name} is no JSON: {error}") from error
    return content if isinstance(content, dict) else {name: content}


def _text(file: _Member, name: str) -> str:
    if file.size > _MAX_TEXT:
        raise _FaultError(f"its {name} has more than {_MAX_TEXT} bytes")
    try:
        return file.data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _FaultError(f"its {name} is no UTF-8: {error}") from error
