"""Data sets as tables: texts that name pictures, or table files that contain pictures.

If the folder has a `metadata.jsonl`, that is the table. Otherwise all table files (`table_files`)
of one split are read, or the one file that is given in place of a folder.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from pydantic import Field

from editloop.errors import EditLoopError
from editloop.schema import Json
from editloop.settings import Settings as BaseSettings
from editloop.sources.captions import METADATA
from editloop.sources.columns import Row, Rules, absent_columns, column_roots, session_of, spelt_as
from editloop.sources.entries import Entry, Place, Problem
from editloop.sources.files import relative
from editloop.sources.formats import FORMATS, format_of
from editloop.sources.guessing import ambiguity_of
from editloop.sources.listed import ListedIndex, Rows
from editloop.sources.row_entries import entries_of
from editloop.sources.table_files import Found, find_files, gaps, packed
from editloop.sources.text_tables import TEXT_TABLES, is_text_table, text_columns, text_rows
from editloop.sources.turn_order import in_order

__all__ = ["TableSettings", "any_table_splits", "table_index", "table_splits"]

_MAP = (
    "name each field's column, and no column for a field to leave out: "
    "editloop import table FOLDER --map source=COLUMN --map target="
)
_ADDRESSES = (
    "nothing is downloaded on import: fetch the pictures with img2dataset (--output_format "
    "webdataset), and import its folder"
)


class TableSettings(BaseSettings):
    """The split of a data set whose files are named by split."""

    split: str | None = Field(default=None, description="the split, if files are named by split")


@dataclass(frozen=True, slots=True)
class _Table:
    files: Sequence[Path] = ()
    problems: Sequence[Problem] = ()


def table_index(
    place: Path, rules: Rules, split: str | None, format: str | None = None
) -> ListedIndex:
    """Return the index of a folder's table or of one file, read by these rules.

    `format` is the suffix of the files to read, where the folder has several formats.
    """
    folder = place if place.is_dir() else place.parent
    table = _Table([place]) if place.is_file() else _find(folder, split, format, rules.guessed)
    read = partial(_entries, table, rules, folder)
    light = partial(read, pictures=False)
    has_sessions = any(_names_sessions(path, rules) for path in table.files)
    entries, listed = (
        partial(in_order, each, light) if has_sessions else each for each in (read, light)
    )
    if any(map(is_text_table, table.files)):
        return ListedIndex(rules.name, rules.version, folder, entries, index_files=table.files)
    return ListedIndex(
        rules.name,
        rules.version,
        folder,
        entries,
        table_files=table.files,
        rows=Rows(listed, partial(_entry_at, rules, folder), _wanted(table.files, rules)),
    )


def table_splits(place: Path) -> list[str]:
    """Return the splits of a folder's table files; empty if they are not named by split."""
    return _splits(find_files(place)) if _needs_files(place) else []


def any_table_splits(place: Path, format: str | None = None) -> list[str]:
    """Return the splits of a folder's tables, also those as text, as `table_splits`."""
    return _splits(find_files(place, format, texts=True)) if _needs_files(place) else []


def _needs_files(place: Path) -> bool:
    return place.is_dir() and not (place / METADATA).is_file()


def _splits(found: Found) -> list[str]:
    return [] if found.problems or "" in found.splits else list(found.splits)


def _find(folder: Path, split: str | None, format: str | None, texts: bool) -> _Table:
    if (folder / METADATA).is_file() and format in (None, "jsonl"):
        return _Table([folder / METADATA])
    found = find_files(folder, format, texts=texts)
    if found.problems:
        return _Table(problems=found.problems)
    splits = found.splits
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
        kinds = ", ".join((*FORMATS, *(TEXT_TABLES if texts else ())))
        cause = f"it has neither a {METADATA} nor a table file ({kinds})"
        below = [path.parent.name for path in sorted(folder.glob(f"*/{METADATA}"))]
        fix = f"choose one below it: {', '.join(below)}" if below else "choose another folder"
    elif split is None:
        cause, fix = "it contains several splits", f"choose a split: {known}"
    else:
        cause, fix = f"it has no split {split!r}", f"its splits: {known or 'none, omit `split`'}"
    return _Table(problems=[Problem(str(folder), cause, fix)])


def _names_sessions(path: Path, rules: Rules) -> bool:
    """Return whether a file has a column of sessions; False if it cannot be read."""
    named = {each for column in rules.columns.get("session", ()) for each in spelt_as(column)}
    try:
        return bool(named) and not named.isdisjoint(_column_names(path))
    except EditLoopError:  # listing it says what is wrong
        return False


def _entries(
    table: _Table, rules: Rules, folder: Path, *, pictures: bool = True
) -> Iterator[Entry | Problem]:
    yield from table.problems
    turns: Counter[str] = Counter()  # of each session so far
    first: Problem | None = None
    rows = addresses = 0
    for row in _rows(table.files, rules, folder, pictures):
        if isinstance(row, Problem):
            yield row
        elif all(row.values.get(column) == value for column, value in rules.only.items()):
            rows += 1
            session = session_of(row, rules)
            if session is not None:
                turns[session] += 1
            found = entries_of(row, rules, folder, 1 if session is None else turns[session])
            if isinstance(found, Problem) and found.code == "address":
                first, addresses = first or found, addresses + 1
            elif isinstance(found, Problem):
                yield found
            else:
                yield from (_placed(entry, row) for entry in found)
    if first is not None:
        cause = f"{addresses} of {rows} rows have no picture: {first.cause}"
        yield Problem(first.where, cause, _ADDRESSES)


def _placed(entry: Entry, row: Row) -> Entry:
    """Return an entry with its place, if it is in a table that may contain its pictures."""
    if is_text_table(row.file):
        return entry
    return replace(entry, place=Place(row.file, row.at, row.number, entry.sample.turn))


def _entry_at(
    rules: Rules, folder: Path, place: Place, values: Mapping[str, Json]
) -> Entry | Problem:
    where = f"{relative(place.file, folder)} row {place.row}"
    row = Row(where, place.number, values, place.file, place.row)
    found = entries_of(row, rules, folder, place.turn, place.turn)
    if isinstance(found, Problem):
        return found
    return found[place.turn - 1] if len(found) > 1 else found[0]


def _rows(
    files: Sequence[Path], rules: Rules, folder: Path, pictures: bool
) -> Iterator[Row | Problem]:
    """Yield the rows and problems of all files; a file that lacks a column yields no rows.

    A file's rows end where the columns of one cannot be guessed.
    """
    number = 0
    for path in files:
        name = relative(path, folder)
        try:
            misnamed = list(_misnamed(name, rules, _column_names(path)))
            yield from misnamed
            wanted = _wanted([path], rules)
            for at, where, values in _located(path, pictures, wanted) if not misnamed else ():
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


def _wanted(files: Sequence[Path], rules: Rules) -> frozenset[str] | None:
    """Return the columns whose pictures and lists may be read; None if a file cannot be read."""
    try:
        return frozenset().union(*(column_roots(rules, _column_names(path)) for path in files))
    except EditLoopError:  # listing it says what is wrong
        return None


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
    return text_columns(path) if is_text_table(path) else format_of(path).columns(path)


def _located(
    path: Path, pictures: bool, wanted: Collection[str] | None
) -> Iterator[tuple[int, str, Mapping[str, Json] | str]]:
    """Yield each row's number, its location as text, and its values or its fault."""
    if is_text_table(path):
        for at, row in enumerate(text_rows(path)):
            yield at, row.where, row.values
    else:
        read = format_of(path).all_rows if pictures else format_of(path).without_pictures
        for at, values in enumerate(read(path, wanted)):
            yield at, f"row {at}", values
