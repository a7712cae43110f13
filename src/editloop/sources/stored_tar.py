"""Samples of WebDataset shards (tar files) as rows: all, all without pictures, or selected rows.

Consecutive files with the same key (the name up to its first dot) are one row. The part after that
dot gives the column: `0001.source.png` is the column `source`, `0001.jpg` is `jpg`; the fields of a
`.json` are columns themselves; `key` is the key. Other file types are ignored, and nothing is
unpickled. What a header claims is not believed: it is read under a limit, one sample at a time.

Archives that were joined by `cat` are all read. An archive without its end mark is cut: an error.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import IO, BinaryIO, NamedTuple, cast

from editloop.errors import CorruptError
from editloop.schema import Json
from editloop.sources.files import EXTENSIONS, MAX_BYTES, MAX_TEXT
from editloop.storage.files import explained

__all__ = ["all_rows", "column_names", "rows_at", "rows_without_pictures"]

_TEXTS = (".txt", ".text", ".cls")
_MOST_FILES = 1000  # of one sample


class _Member(NamedTuple):
    """A file in the shard; `data` is empty for a picture that was not requested.

    `fault` is why it was not read.
    """

    key: str
    suffix: str  # `source.png` of `0001.source.png`
    data: bytes = b""
    fault: str | None = None


class _FaultError(Exception):
    """A fault of a sample."""


def all_rows(path: Path) -> Iterator[Mapping[str, Json] | str]:
    """Yield every sample, or its fault as text; raise CorruptError if the shard cannot be read."""
    return (_row(files) for _, files in _samples(path, None))


def rows_without_pictures(path: Path) -> Iterator[Mapping[str, Json] | str]:
    """Yield every sample with placeholders for its pictures, or its fault as text."""
    return (_row(files) for _, files in _samples(path, ()))


def rows_at(path: Path, rows: Sequence[int]) -> Iterator[tuple[int, Mapping[str, Json] | str]]:
    """Yield the selected samples with their numbers, or their fault as text."""
    wanted = set(rows)
    yield from ((at, _row(files)) for at, files in _samples(path, wanted) if at in wanted)


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
            yield at, _read_all(group, wanted is None or at in wanted)


class _Bounded(io.BufferedReader):
    """A file of which one call reads at most `limit` bytes, whatever a header claims."""

    limit = MAX_TEXT  # of a header; a picture's is larger

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or not 0 <= size <= self.limit:
            raise tarfile.ReadError(f"a header claims {size} bytes")
        return super().read(size)


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
                if member.size < 0:  # by it the next header would be this one again, for ever
                    shard.offset = member.offset_data
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
        with explained("read a data set", path), _Bounded(io.FileIO(path)) as file:
            yield file
    except (tarfile.TarError, EOFError, RecursionError, OverflowError, ValueError) as error:
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


def _read_all(
    group: Iterator[tuple[str, str, tarfile.TarFile, tarfile.TarInfo]], pictures: bool
) -> Sequence[_Member]:
    """Read a sample's files; together they may have `MAX_BYTES`."""
    files: list[_Member] = []
    left = MAX_BYTES
    for key, suffix, shard, member in group:
        if len(files) < _MOST_FILES:
            files.append(_read(shard, _Member(key, suffix), member, left, pictures))
            left -= max(0, member.size)
        else:
            files[-1] = files[-1]._replace(fault=f"is one of more than {_MOST_FILES:,} files")
    return files


def _read(
    shard: tarfile.TarFile, file: _Member, member: tarfile.TarInfo, left: int, pictures: bool
) -> _Member:
    last = f".{file.suffix.rpartition('.')[2]}"
    most = min(left, MAX_BYTES if last in EXTENSIONS else MAX_TEXT)
    asked = pictures if last in EXTENSIONS else last in (*_TEXTS, ".json")
    if last not in (*EXTENSIONS, *_TEXTS, ".json"):
        return file
    if not 0 <= member.size <= most:
        return file._replace(fault=f"claims {member.size:,} bytes, and may have {max(0, most):,}")
    content = shard.extractfile(member) if asked else None
    return file if content is None else file._replace(data=_content(shard, content))


def _content(shard: tarfile.TarFile, content: IO[bytes]) -> bytes:
    file = cast(_Bounded, shard.fileobj)
    file.limit = MAX_BYTES
    try:
        return content.read()
    finally:
        file.limit = MAX_TEXT


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
    if file.fault is not None:
        raise _FaultError(f"its {name} {file.fault}")
    if f".{last}" in EXTENSIONS:
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
    try:
        return file.data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _FaultError(f"its {name} is no UTF-8: {error}") from error
