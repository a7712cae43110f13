"""Samples of WebDataset shards (tar files) as rows: all, all without pictures, or selected rows.

Consecutive files with the same key (the name up to its first dot) are one row. The part after that
dot gives the column: `0001.source.png` is the column `source`, `0001.jpg` is `jpg`; the fields of a
`.json` are columns themselves; `key` is the key. Other file types are ignored, and nothing is
unpickled.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

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
    with _opened(path) as shard:
        files = (member for member in _members(shard) if member.isfile())
        named = ((_named(member.name), member) for member in files)
        regular = ((name, member) for name, member in named if name is not None)
        last = max(wanted, default=-1) if wanted else None
        for at, (_, group) in enumerate(groupby(regular, key=lambda item: item[0][0])):
            if last is not None and at > last:
                return
            pictures = wanted is None or at in wanted
            yield at, [_read(shard, *name, member, pictures) for name, member in group]


def _members(shard: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    while (member := shard.next()) is not None:
        shard.members = []  # type: ignore[attr-defined]  # do not keep past members in memory
        yield member


@contextmanager
def _opened(path: Path) -> Iterator[tarfile.TarFile]:
    try:
        with explained("read a data set", path), tarfile.open(path, "r:") as shard:
            yield shard
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
    shard: tarfile.TarFile, key: str, suffix: str, member: tarfile.TarInfo, pictures: bool
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
