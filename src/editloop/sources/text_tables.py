"""Tables that are texts: lists of JSON, lines of JSON, CSV, TSV. Their pictures are mostly files.

A row is a mapping; a row that is none is returned as text with the reason.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from editloop.errors import CorruptError
from editloop.schema import Json
from editloop.sources.entries import Problem, read_json
from editloop.sources.files import MAX_LINE, read_lines
from editloop.storage.csv_rows import csv_columns, read_cells
from editloop.storage.files import explained

__all__ = ["TEXT_TABLES", "TextRow", "is_text_table", "row_in", "text_columns", "text_rows"]

_CELLS = (".csv", ".tsv")
TEXT_TABLES = (".jsonl", ".ndjson", ".json", *_CELLS)

_HEAD = 100  # rows that are read for their columns
_NO_MAPPING = "no mapping: it is not an object with a value for each column"


@dataclass(frozen=True, slots=True)
class TextRow:
    """A row: its place in words, the number of its line or item, and its values or its fault."""

    where: str
    number: int
    values: Mapping[str, Json] | str


def is_text_table(path: Path) -> bool:
    """Return whether a file is a table as text, by its name."""
    return path.suffix.lower() in TEXT_TABLES


def text_columns(path: Path) -> Sequence[str]:
    """Return the columns of a table: its header, or the keys of its first rows."""
    if path.suffix.lower() in _CELLS:
        return csv_columns(path)
    head = [row.values for row in islice(text_rows(path), _HEAD) if isinstance(row.values, dict)]
    return list(dict.fromkeys(name for values in head for name in values))


def text_rows(path: Path) -> Iterator[TextRow]:
    """Yield the rows of a table; lines are counted from 1, items of a list from 0.

    Raises RecipeError or CorruptError if the file cannot be read.
    """
    if path.suffix.lower() == ".json":
        return (TextRow(f"item {number}", number, row) for number, row in _items(path))
    rows = read_cells(path, MAX_LINE) if path.suffix.lower() in _CELLS else _lines(path)
    return (TextRow(f"line {number}", number, row) for number, row in rows)


def row_in(line: bytes | None) -> dict[str, Json] | str:
    """Return the row in a line of JSON (None: it is too long), or its fault."""
    if line is None:
        return f"it has more than {MAX_LINE:,} bytes"
    try:
        content = json.loads(line.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        return f"it is not JSON: {error}"
    return content if isinstance(content, dict) else _NO_MAPPING


def _lines(path: Path) -> Iterator[tuple[int, dict[str, Json] | str]]:
    with explained("read a data set's index", path), path.open("rb") as file:
        for number, line in read_lines(file):
            yield number, row_in(line)


def _items(path: Path) -> Iterator[tuple[int, dict[str, Json] | str]]:
    content = read_json(path)
    if isinstance(content, Problem) or not isinstance(content, list):
        cause = content.cause if isinstance(content, Problem) else "it is not a list of rows"
        raise CorruptError(f"a table cannot be read: {cause}", value=path.name, fix="write [{...}]")
    for number, row in enumerate(content):
        yield number, row if isinstance(row, dict) else _NO_MAPPING
