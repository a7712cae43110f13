"""Data sets that are tables: a `metadata.jsonl` beside pictures, or Parquet that holds them.

In a folder with a `metadata.jsonl`, that is the table, and its pictures are files below the folder.
Otherwise its Parquet files are, or those in `data/` below it, in the order of their names; of files
that are called by splits (`test-00000-of-00002.parquet`) one split is read, whole.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from pydantic import Field

from editloop import recipe
from editloop.errors import EditLoopError
from editloop.files import explained
from editloop.schema import Json
from editloop.sources.captions import METADATA
from editloop.sources.columns import Row, Rules, entry_of, session_of
from editloop.sources.entries import Entry, Place, Problem
from editloop.sources.listed import ListedIndex, Rows
from editloop.sources.stored import all_rows, rows_without_pictures

__all__ = ["TableSettings", "table_index", "table_splits"]

_SHARD = re.compile(r"(?P<split>.+)-(?P<at>\d{5})-of-(?P<count>\d{5})(-[0-9a-f]+)?\.parquet")


class TableSettings(recipe.Settings):
    """Which split of a data set in Parquet."""

    split: str | None = Field(
        default=None, description="which split, where Parquet files are called by splits"
    )


@dataclass(frozen=True, slots=True)
class _Table:
    files: Sequence[Path] = ()
    problems: Sequence[Problem] = ()


def table_index(folder: Path, rules: Rules, split: str | None) -> ListedIndex:
    """The index of a table that is read by these rules."""
    table = _find(folder, split)
    entries = partial(_entries, table, rules, folder)
    if any(path.name == METADATA for path in table.files):
        return ListedIndex(rules.name, rules.version, folder, entries, index_files=table.files)
    return ListedIndex(
        rules.name,
        rules.version,
        folder,
        entries,
        table_files=table.files,
        rows=Rows(partial(entries, pictures=False), partial(_entry_at, rules, folder)),
    )


def table_splits(folder: Path) -> list[str]:
    """The splits by which a folder's Parquet files are called; none where they are not."""
    splits = _split_files(folder)
    return [] if "" in splits else list(splits)


def _split_files(folder: Path) -> dict[str, list[Path]]:
    """The Parquet files by split; those that are called by none are under ""."""
    splits: dict[str, list[Path]] = defaultdict(list)
    if (folder / METADATA).is_file():
        return splits
    paths = sorted(folder.glob("*.parquet")) or sorted(folder.glob("data/*.parquet"))
    for path in paths:
        named = _SHARD.fullmatch(path.name)
        splits[named["split"] if named else ""].append(path)
    return splits


def _find(folder: Path, split: str | None) -> _Table:
    if (folder / METADATA).is_file():
        return _Table([folder / METADATA])
    splits = _split_files(folder)
    if split is None and len(splits) == 1:
        split = next(iter(splits))
    if split in splits:
        return _Table(splits[split], list(_gaps(splits[split])))
    known = ", ".join(name for name in splits if name)
    if not splits:
        cause, fix = f"there is neither {METADATA} nor a Parquet file in it", "name another folder"
    elif split is None:
        cause, fix = "it holds several splits", f"choose a split: {known}"
    else:
        cause, fix = f"it has no split {split!r}", f"its splits: {known or 'none, leave it out'}"
    return _Table(problems=[Problem(str(folder), cause, fix)])


def _gaps(paths: Sequence[Path]) -> Iterator[Problem]:
    """The files of a split that are missing: names say how many there are."""
    named = [match for path in paths if (match := _SHARD.fullmatch(path.name))]
    for count in sorted({match["count"] for match in named}):
        there = {int(match["at"]) for match in named if match["count"] == count}
        for at in sorted(set(range(int(count))) - there):
            name = f"{named[0]['split']}-{at:05d}-of-{count}.parquet"
            yield Problem(name, "a file of the split is missing", "fetch it again")


def _entries(
    table: _Table, rules: Rules, folder: Path, *, pictures: bool = True
) -> Iterator[Entry | Problem]:
    yield from table.problems
    session: str | None = None
    turn = 0
    for row in _rows(table.files, folder, pictures):
        if isinstance(row, Problem):
            yield row
        elif rules.only is None or row.values.get(rules.only[0]) == rules.only[1]:
            own = session_of(row, rules)
            turn = turn + 1 if own is not None and own == session else 1
            session = own
            entry = entry_of(row, rules, folder, turn)
            if isinstance(entry, Entry) and row.file.name != METADATA:
                place = Place(row.file, row.at, row.number, entry.sample.turn)
                entry = replace(entry, place=place)
            yield entry


def _entry_at(
    rules: Rules, folder: Path, place: Place, values: Mapping[str, Json]
) -> Entry | Problem:
    where = f"{place.file.relative_to(folder).as_posix()} row {place.row}"
    row = Row(where, place.number, values, place.file, place.row)
    return entry_of(row, rules, folder, place.turn)


def _rows(files: Sequence[Path], folder: Path, pictures: bool) -> Iterator[Row | Problem]:
    number = 0
    for path in files:
        name = path.relative_to(folder).as_posix()
        try:
            for at, where, values in _located(path, pictures):
                if isinstance(values, dict):
                    yield Row(f"{name} {where}", number, values, path, at)
                else:
                    yield Problem(f"{name} {where}", str(values), "correct the line")
                number += 1
        except EditLoopError as error:
            yield Problem(name, error.cause, error.fix or "fetch it again")


def _located(path: Path, pictures: bool) -> Iterator[tuple[int, str, Mapping[str, Json] | str]]:
    """Number and place in words of each row, and its values or what is wrong with it."""
    if path.name == METADATA:
        for at, (where, content) in enumerate(_lines(path)):
            yield at, where, content
    else:
        for at, values in enumerate(all_rows(path) if pictures else rows_without_pictures(path)):
            yield at, f"row {at}", values


def _lines(path: Path) -> Iterator[tuple[str, Mapping[str, Json] | str]]:
    """Each line's mapping, or what is wrong with the line."""
    with explained("read a data set's index", path), path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                content = json.loads(line.decode("utf-8-sig"))
            except (ValueError, RecursionError) as error:
                content = f"it is no JSON: {error}"
            yield f"line {number}", content if isinstance(content, dict | str) else "no mapping"
