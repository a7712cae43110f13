"""The table files in a folder, and the split of each.

They are in the folder, in `data/` below it, or in one folder per split, in the order of their
names; all have the format of the first. The split comes from the file name
(`test-00000-of-00002.parquet`, `val-000003.tar`, `parquet-train.arrow`) or from the folder per
split, as saved by `datasets`.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from pathlib import Path

from editloop.sources.entries import Problem
from editloop.sources.formats import FORMATS

__all__ = ["gaps", "has_rows", "packed", "split_files"]

_MOST_FOLDERS = 100  # below a data set: more folders than this are not splits

_SHARD = re.compile(
    r"(?P<split>.+)-(?P<at>\d{5})-of-(?P<count>\d{5})(-[0-9a-f]+)?\.(?P<kind>parquet|arrow)"
)
_PACKED = re.compile(r".+\.(tar\.(gz|bz2|xz|zst)|tgz)")
_CACHED = re.compile(r".+-(?P<split>\w+)\.arrow")  # as `load_dataset` caches a small split
_TAR = re.compile(r"(?P<split>train|val|valid|validation|dev|test|heldout)[-_.]?\d+\.tar")


def split_files(folder: Path) -> Mapping[str, Sequence[Path]]:
    """Return the table files by split; files without a split in their name are under ""."""
    return _split_files(folder, _stamps(folder))


@lru_cache(maxsize=8)
def _split_files(folder: Path, _stamps: tuple[int, ...]) -> Mapping[str, Sequence[Path]]:
    """Cached while no folder changes: each of UltraEdit's 2,000 splits calls this."""
    splits: dict[str, list[Path]] = defaultdict(list)
    for path in _files(folder):
        splits[_split_of(path, folder)].append(path)
    return dict(splits)


def _stamps(folder: Path) -> tuple[int, ...]:
    """Return the modification times of the folders that may hold table files."""
    return tuple(place.stat().st_mtime_ns for place in (folder, *_folders(folder)))


def gaps(paths: Sequence[Path]) -> Iterator[Problem]:
    """Yield a problem for each missing file of a split, by the file counts in the names."""
    named = [match for path in paths if (match := _SHARD.fullmatch(path.name))]
    for count in sorted({match["count"] for match in named}):
        there = {int(match["at"]) for match in named if match["count"] == count}
        for at in sorted(set(range(int(count))) - there):
            name = f"{named[0]['split']}-{at:05d}-of-{count}.{named[0]['kind']}"
            yield Problem(name, "a file of the split is missing", "download it again")


def packed(folder: Path) -> Iterator[Problem]:
    """Yield a problem for each compressed archive in a folder of WebDataset shards."""
    for path in sorted((*folder.iterdir(), *folder.glob("data/*"))):
        if _PACKED.fullmatch(path.name):
            cause = "a compressed archive is not read"
            fix = "unpack it to a .tar, which also shows whether it is whole: gunzip, unxz, ..."
            yield Problem(path.relative_to(folder).as_posix(), cause, fix)


def has_rows(folder: Path) -> bool:
    """Return whether a folder holds table files."""
    return bool(split_files(folder))


def _files(folder: Path) -> list[Path]:
    for places in ([folder], [folder / "data"], _folders(folder)):
        for suffix in FORMATS:
            # `cache-*.arrow` is the cache of a `datasets` map, not data
            found = [
                path
                for place in places
                for path in sorted(place.glob(f"*{suffix}"))
                if not path.name.startswith((".", "cache-"))
            ]
            if found:
                return found
    return []


def _folders(folder: Path) -> list[Path]:
    """Return the folders that may each be a split."""
    with os.scandir(folder) as listing:
        found = list(islice((entry.path for entry in listing if entry.is_dir()), _MOST_FOLDERS + 1))
    return sorted(map(Path, found)) if len(found) <= _MOST_FOLDERS else []


def _split_of(path: Path, folder: Path) -> str:
    if path.parent not in (folder, folder / "data"):
        return path.parent.name
    named = _SHARD.fullmatch(path.name)
    if path.suffix == ".arrow":
        named = named or _CACHED.fullmatch(path.name)
        split = named["split"].rpartition("-")[2] if named else ""
        return "" if split == "data" else split  # data-00000-of-00001.arrow has no split
    named = named or _TAR.fullmatch(path.name)
    return named["split"] if named else ""
