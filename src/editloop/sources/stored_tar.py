"""Samples of WebDataset shards (tar files) as rows: all, all without pictures, or selected rows.

Files with the same key are one row, wherever they are in an archive. The key is the name up to its
first dot, or to its last if keys contain dots (`tar_keys`). The part after that dot gives the
column: `0001.source.png` is the column `source`, `0001.jpg` is `jpg`; the fields of a `.json` are
columns themselves; `key` is the key. Other file types are ignored, and nothing is unpickled. What a
header claims is not believed: it is read under a limit, one sample at a time.

An archive may be compressed (gzip, bzip2, xz). Archives that were joined by `cat` are all read. An
archive without its end mark is cut: an error.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import tarfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import IO, Any, BinaryIO, NamedTuple, cast

from editloop.errors import CorruptError
from editloop.schema import Json
from editloop.sources.files import EXTENSIONS, MAX_BYTES, MAX_TEXT, size_and_time
from editloop.sources.stored import Wanted
from editloop.sources.tar_keys import Naming, key_rule
from editloop.storage.files import explained

__all__ = ["all_rows", "column_names", "is_packed_tar", "rows_at", "rows_without_pictures"]

_TEXTS = (".txt", ".text", ".cls")
_UNPACKERS: Mapping[bytes, Callable[[Path], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\0": lzma.open,
}
_UNREADABLE = (
    *(tarfile.TarError, EOFError, RecursionError, OverflowError, ValueError),
    *(zlib.error, lzma.LZMAError, gzip.BadGzipFile),
)
_HEAD = 100  # samples that are read for their columns
_MOST_NAMES = 10_000  # files whose names tell how the shard is divided
_PACKED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
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


def is_packed_tar(path: Path) -> bool:
    """Return whether a file is a shard in a compression that is read, by its name."""
    return path.name.lower().endswith(_PACKED)


def all_rows(path: Path, _wanted: Wanted = None) -> Iterator[Mapping[str, Json] | str]:
    """Yield every sample, or its fault as text; raise CorruptError if the shard cannot be read."""
    return (_row(files) for _, files in _samples(path, None))


def rows_without_pictures(path: Path, _wanted: Wanted = None) -> Iterator[Mapping[str, Json] | str]:
    """Yield every sample with placeholders for its pictures, or its fault as text."""
    return (_row(files) for _, files in _samples(path, ()))


def rows_at(
    path: Path, rows: Sequence[int], _wanted: Wanted = None
) -> Iterator[tuple[int, Mapping[str, Json] | str]]:
    """Yield the selected samples with their numbers, or their fault as text."""
    wanted = set(rows)
    yield from ((at, _row(files)) for at, files in _samples(path, wanted) if at in wanted)


def column_names(path: Path) -> list[str]:
    """Return the columns of the first samples."""
    rows = [row for row in islice(rows_without_pictures(path), _HEAD) if isinstance(row, dict)]
    return list(dict.fromkeys(name for row in rows for name in row))


class _Survey(NamedTuple):
    """How a shard is divided: its naming, and the samples' numbers and counts of files."""

    naming: Naming
    numbers: Mapping[int, int]
    counts: Mapping[int, int]


def _samples(
    path: Path, wanted: set[int] | tuple[()] | None
) -> Iterator[tuple[int, Sequence[_Member]]]:
    """Yield each sample's files; pictures are read only for the samples in `wanted` (None: all).

    A sample is yielded with its last file, so that of others only started ones are in memory.
    """
    naming, numbers, counts = _survey(path, tuple(size_and_time(path) or ()))
    left = dict(counts)
    last = max(wanted, default=-1) if wanted else len(numbers)
    started: dict[int, _Sample] = {}
    with _opened(path) as file:
        for archive, shard, member in _members(file):
            if (named := naming(member.name)) is None:
                continue
            key = hash((archive, named[0]))
            number = numbers[key]
            sample = started.setdefault(key, _Sample())
            sample.add(shard, _Member(*named), member, wanted is None or number in wanted)
            left[key] -= 1
            if not left[key]:
                yield number, started.pop(key).files
                if number >= last:
                    return


@lru_cache(maxsize=4)
def _survey(path: Path, _stamp: tuple[int, ...]) -> _Survey:
    """Read a shard's headers; cached while the file does not change."""
    with _opened(path) as file:
        naming = key_rule(member.name for _, _, member in islice(_members(file), _MOST_NAMES))
        counts: Counter[int] = Counter()
        ends: dict[int, int] = {}
        for at, (archive, _, member) in enumerate(_members(file)):
            if (named := naming(member.name)) is not None:
                key = hash((archive, named[0]))
                counts[key] += 1
                ends[key] = at
    return _Survey(
        naming, {key: at for at, key in enumerate(sorted(ends, key=ends.__getitem__))}, counts
    )


class _Sample:
    """The files of a sample that have been read; together they may have `MAX_BYTES`."""

    def __init__(self) -> None:
        self.files: list[_Member] = []
        self._left = MAX_BYTES

    def add(
        self, shard: tarfile.TarFile, file: _Member, member: tarfile.TarInfo, pictures: bool
    ) -> None:
        if len(self.files) >= _MOST_FILES:
            fault = f"is one of more than {_MOST_FILES:,} files"
            self.files[-1] = self.files[-1]._replace(fault=fault)
            return
        self.files.append(_read(shard, file, member, self._left, pictures))
        self._left -= max(0, member.size)


class _Bounded(io.BufferedReader):
    """A file of which one call reads at most `limit` bytes, whatever a header claims."""

    limit = MAX_TEXT  # of a header; a picture's is larger

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or not 0 <= size <= self.limit:
            raise tarfile.ReadError(f"a header claims {size} bytes")
        return super().read(size)


def _members(file: BinaryIO) -> Iterator[tuple[int, tarfile.TarFile, tarfile.TarInfo]]:
    """Yield the files of all archives in a shard, each with its archive and where that begins."""
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
                    yield start, shard, member
            if start and not members:
                raise tarfile.ReadError(
                    f"data after the end mark, at byte {start}, is not an archive"
                )
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
        with explained("read a data set", path), _Bounded(_raw(path)) as file:
            yield file
    except _UNREADABLE as error:
        raise CorruptError(
            "a tar file cannot be read",
            value=path,
            fix=f"download it again; it must be a .tar, not compressed or by gzip, bzip2 or xz "
            f"({error})",
        ) from error


def _raw(path: Path) -> io.RawIOBase:
    """Open a shard by what it holds, whatever its name is."""
    with path.open("rb") as file:
        head = file.read(6)
    opened = next((each for magic, each in _UNPACKERS.items() if head.startswith(magic)), None)
    return io.FileIO(path) if opened is None else cast(io.RawIOBase, opened(path))


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
        for name, count in Counter(file.suffix for file in files).items():
            if count > 1:
                raise _FaultError(f"it has {count} files {files[0].key}.{name}")
        for file in files:
            for name, value in _columns(file).items():
                if row.setdefault(name, value) is not value:
                    row[file.suffix] = value
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
        raise _FaultError(f"its {name} is not JSON: {error}") from error
    return content if isinstance(content, dict) else {name: content}


def _text(file: _Member, name: str) -> str:
    try:
        return file.data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _FaultError(f"its {name} is no UTF-8: {error}") from error
