"""The table files in a folder, and the split of each.

They are in the folder, in `data/` below it, in one folder per split, or in one folder per split of
one configuration (`default/train/0000.parquet`), in the order of their names. Tables as text are
read if there are no others. The split comes from the file name (`test-00000-of-00002.parquet`,
`val-000003.tar`, `parquet-train.arrow`, `train.csv`) or from the folder per split.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path

from editloop.sources.entries import Problem
from editloop.sources.formats import FORMATS
from editloop.sources.stored_tar import is_packed_tar
from editloop.sources.text_tables import TEXT_TABLES

__all__ = ["Found", "find_files", "gaps", "has_rows", "packed", "split_files"]

_MOST_FOLDERS = 100  # below a data set: more folders than this are not splits

_SHARD = re.compile(
    r"(?P<split>.+)-(?P<at>\d{5})-of-(?P<count>\d{5})(-[0-9a-f]+)?\.(?P<kind>parquet|arrow)"
)
_PACKED = re.compile(r".+\.tar\.zst")
_CACHED = re.compile(r".+-(?P<split>\w+)\.arrow")  # as `load_dataset` caches a small split
SPLITS = ("train", "val", "valid", "validation", "dev", "test", "heldout")
_TAR = re.compile(rf"(?P<split>{'|'.join(SPLITS)})[-_.]?\d+\.(tar|tgz)(\.\w+)?")
_DESCRIPTION = re.compile(r"(dataset_infos?|dataset_dict|state|.+_stats|index)\.json")


@dataclass(frozen=True, slots=True)
class Found:
    """The table files of a folder by split, those without one under ""; or why it is unclear."""

    splits: Mapping[str, Sequence[Path]]
    problems: Sequence[Problem] = ()


def find_files(folder: Path, format: str | None = None, *, texts: bool = False) -> Found:
    """Return the table files of a folder; of one format (a suffix without its dot), if given.

    With `texts`, tables as text are found too.
    """
    return _find_files(folder, format, texts, _stamps(folder))


def split_files(folder: Path) -> Mapping[str, Sequence[Path]]:
    """Return the table files by split, of whatever format is found first."""
    return find_files(folder).splits


@lru_cache(maxsize=8)
def _find_files(folder: Path, format: str | None, texts: bool, _stamps: tuple[int, ...]) -> Found:
    """Cached while no folder changes: each of UltraEdit's 2,000 splits calls this."""
    files = _files(folder, format, texts)
    by_format = {_suffix(path) for path in files}
    splits: dict[str, list[Path]] = defaultdict(list)
    for path in files:
        if _suffix(path) == _suffix(files[0]):
            splits[_split_of(path, folder)].append(path)
    problems = []
    if len(by_format) > 1:
        cause = f"it has tables of several formats: {', '.join(sorted(by_format))}"
        ways = " or ".join(f"table?format={each.removeprefix('.')}" for each in sorted(by_format))
        problems.append(Problem(str(folder), cause, f"choose one: {ways}"))
    configurations = sorted({p.relative_to(folder).parts[0] for p in files if _is_deep(p, folder)})
    if len(configurations) > 1:
        cause = f"it contains several configurations: {', '.join(configurations)}"
        fix = f"choose one: {folder / configurations[0]}"
        problems.append(Problem(str(folder), cause, fix))
    return Found(dict(splits), problems)


def _stamps(folder: Path) -> tuple[int, ...]:
    """Return the modification times of the folders that may hold table files."""
    below = _folders(folder)
    places = (folder, *below, *(each for place in below for each in _folders(place)))
    return tuple(place.stat().st_mtime_ns for place in places)


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
            cause = "an archive of this compression is not read"
            fix = "unpack it to a .tar: unzstd"
            yield Problem(path.relative_to(folder).as_posix(), cause, fix)


def has_rows(folder: Path) -> bool:
    """Return whether a folder holds table files."""
    return bool(split_files(folder))


def _files(folder: Path, format: str | None, texts: bool) -> list[Path]:
    below = _folders(folder)
    deeper = [each for place in below for each in _folders(place)]
    for suffixes in (tuple(FORMATS), TEXT_TABLES if texts else ()):
        for places in ([folder], [folder / "data"], below, deeper):
            found = [
                path
                for suffix in suffixes
                for place in places
                for path in sorted(place.glob("*"))
                if _suffix(path) == suffix and _is_table(path, format)
            ]
            if found:
                return found
    return []


def _is_table(path: Path, format: str | None) -> bool:
    # `cache-*.arrow` is the cache of a `datasets` map; the JSON files are descriptions of data
    if path.name.startswith((".", "cache-")) or _DESCRIPTION.fullmatch(path.name):
        return False
    return (format is None or _suffix(path) == f".{format}") and path.is_file()


def _suffix(path: Path) -> str:
    return ".tar" if is_packed_tar(path) else path.suffix.lower()


def _is_deep(path: Path, folder: Path) -> bool:
    return len(path.relative_to(folder).parts) > 2


def _folders(folder: Path) -> list[Path]:
    """Return the folders that may each be a split."""
    with os.scandir(folder) as listing:
        found = list(islice((entry.path for entry in listing if entry.is_dir()), _MOST_FOLDERS + 1))
    return sorted(map(Path, found)) if len(found) <= _MOST_FOLDERS else []


def _split_of(path: Path, folder: Path) -> str:
    if path.parent not in (folder, folder / "data"):
        return path.parent.name
    if path.suffix.lower() in TEXT_TABLES:
        return path.stem if path.stem in SPLITS else ""
    named = _SHARD.fullmatch(path.name)
    if path.suffix == ".arrow":
        named = named or _CACHED.fullmatch(path.name)
        split = named["split"].rpartition("-")[2] if named else ""
        return "" if split == "data" else split  # data-00000-of-00001.arrow has no split
    named = named or _TAR.fullmatch(path.name)
    return named["split"] if named else ""
