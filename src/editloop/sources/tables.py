"""Data sets as tables: a `metadata.jsonl` beside pictures, or table files that contain pictures.

If the folder has a `metadata.jsonl`, that is the table, and its pictures are files below the
folder. Otherwise all table files (`table_files`) of one split are read.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path

from pydantic import Field

from editloop.errors import EditLoopError
from editloop.schema import Json
from editloop.settings import Settings as BaseSettings
from editloop.sources.captions import METADATA
from editloop.sources.columns import Row, Rules, absent_columns, entry_of, session_of
from editloop.sources.entries import Entry, Place, Problem
from editloop.sources.files import MAX_LINE, read_lines
from editloop.sources.formats import FORMATS, format_of
from editloop.sources.guessing import ambiguity_of
from editloop.sources.listed import ListedIndex, Rows
from editloop.sources.table_files import gaps, packed, split_files
from editloop.storage.files import explained

__all__ = ["TableSettings", "table_index", "table_splits"]

_MAP = (
    "name each field's column, and no column for a field to leave out: "
    "editloop import table FOLDER --map source=COLUMN --map target="
)
_TOO_LONG = f"it has more than {MAX_LINE:,} bytes"
_HEAD = 100  # lines of a metadata.jsonl that are read for its columns


class TableSettings(BaseSettings):
    """The split of a data set whose files are named by split."""

    split: str | None = Field(default=None, description="the split, if files are named by split")


@dataclass(frozen=True, slots=True)
class _Table:
    files: Sequence[Path] = ()
    problems: Sequence[Problem] = ()


def table_index(folder: Path, rules: Rules, split: str | None) -> ListedIndex:
    """Return the index of a folder's table, read by these rules."""
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
    """Return the splits of a folder's table files; empty if they are not named by split."""
    splits = {} if (folder / METADATA).is_file() else split_files(folder)
    return [] if "" in splits else list(splits)


def _find(folder: Path, split: str | None) -> _Table:
    if (folder / METADATA).is_file():
        return _Table([folder / METADATA])
    splits = split_files(folder)
    if split is None and len(splits) == 1:
        split = next(iter(splits))
    chosen = splits.get(split or "", ())
    from_shards = not splits or any(path.suffix == ".tar" for path in chosen)
    if from_shards and (unread := list(packed(folder))):
        return _Table(problems=unread)
    if split is not None and split in splits:
        return _Table(splits[split], list(gaps(splits[split])))
    known = ", ".join(name for name in splits if name)
    if not splits:
        kinds = ", ".join(FORMATS)
        cause = f"it has neither a {METADATA} nor a table file ({kinds})"
        below = [path.parent.name for path in sorted(folder.glob(f"*/{METADATA}"))]
        fix = f"choose one below it: {', '.join(below)}" if below else "choose another folder"
    elif split is None:
        cause, fix = "it contains several splits", f"choose a split: {known}"
    else:
        cause, fix = f"it has no split {split!r}", f"its splits: {known or 'none, omit `split`'}"
    return _Table(problems=[Problem(str(folder), cause, fix)])


def _entries(
    table: _Table, rules: Rules, folder: Path, *, pictures: bool = True
) -> Iterator[Entry | Problem]:
    yield from table.problems
    session: str | None = None
    turn = 0
    for row in _rows(table.files, rules, folder, pictures):
        if isinstance(row, Problem):
            yield row
        elif all(row.values.get(column) == value for column, value in rules.only.items()):
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


def _rows(
    files: Sequence[Path], rules: Rules, folder: Path, pictures: bool
) -> Iterator[Row | Problem]:
    """Yield the rows and problems of all files; a file that lacks a column yields no rows.

    A file's rows end where the columns of one cannot be guessed.
    """
    number = 0
    for path in files:
        name = path.relative_to(folder).as_posix()
        try:
            misnamed = list(_misnamed(name, rules, _column_names(path)))
            yield from misnamed
            for at, where, values in _located(path, pictures) if not misnamed else ():
                if isinstance(values, dict):
                    if (cause := ambiguity_of(values, rules)) is not None:
                        yield Problem(f"{name} {where}", cause, _MAP)
                        break
                    yield Row(f"{name} {where}", number, values, path, at)
                else:
                    yield Problem(f"{name} {where}", str(values), "correct the line", "edit")
                number += 1
        except EditLoopError as error:
            yield Problem(name, error.cause, error.fix or "download it again")


def _misnamed(name: str, rules: Rules, columns: Sequence[str]) -> Iterator[Problem]:
    """Yield a problem for each required field without a column, with the most similar column."""
    for field, known in absent_columns(rules, columns):
        close = [
            each for word in (*known, field) for each in difflib.get_close_matches(word, columns, 1)
        ]
        guess = f"did you mean {close[0]!r}? " if close else ""
        fix = f"{guess}its columns: {', '.join(columns)}"
        yield Problem(name, f"no column for the field {field} ({', '.join(known)})", fix)


def _column_names(path: Path) -> Sequence[str]:
    if path.name != METADATA:
        return format_of(path).columns(path)
    lines = [content for _, content in islice(_lines(path), _HEAD) if isinstance(content, dict)]
    return list(dict.fromkeys(name for line in lines for name in line))


def _located(path: Path, pictures: bool) -> Iterator[tuple[int, str, Mapping[str, Json] | str]]:
    """Yield each row's number, its location as text, and its values or its fault."""
    if path.name == METADATA:
        for at, (where, content) in enumerate(_lines(path)):
            yield at, where, content
    else:
        read = format_of(path).all_rows if pictures else format_of(path).without_pictures
        for at, values in enumerate(read(path)):
            yield at, f"row {at}", values


def _lines(path: Path) -> Iterator[tuple[str, Mapping[str, Json] | str]]:
    """Yield each line's location and its mapping, or its fault as text."""
    with explained("read a data set's index", path), path.open("rb") as file:
        for number, line in read_lines(file):
            try:
                content = _TOO_LONG if line is None else json.loads(line.decode("utf-8-sig"))
            except (ValueError, RecursionError) as error:
                content = f"it is no JSON: {error}"
            yield f"line {number}", content if isinstance(content, dict | str) else "no mapping"
