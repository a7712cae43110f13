"""Tables that are texts: lists of JSON, lines of JSON, CSV, TSV. Their pictures are mostly files.

A row is a mapping; a row that is none is returned as text with the reason.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

from editloop.errors import CorruptError
from editloop.schema import Json
from editloop.sources.entries import Problem, read_json
from editloop.sources.files import MAX_LINE, read_lines
from editloop.storage.csv_rows import csv_columns, read_cells
from editloop.storage.files import explained

__all__ = ["TEXT_TABLES", "is_text_table", "text_columns", "text_rows"]

TEXT_TABLES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv")

_HEAD = 100  # rows that are read for their columns
_TOO_LONG = f"it has more than {MAX_LINE:,} bytes"


def is_text_table(path: Path) -> bool:
    """Return whether a file is a table as text, by its name."""
    return path.suffix.lower() in TEXT_TABLES


def text_columns(path: Path) -> Sequence[str]:
    """Return the columns of a table: its header, or the keys of its first rows."""
    if path.suffix.lower() in (".csv", ".tsv"):
        return csv_columns(path)
    head = [row for _, row in islice(text_rows(path), _HEAD) if isinstance(row, dict)]
    return list(dict.fromkeys(name for row in head for name in row))


def text_rows(path: Path) -> Iterator[tuple[str, Mapping[str, Json] | str]]:
    """Yield the place of each row and the row, or its fault as text.

    Raises RecipeError or CorruptError if the file cannot be read.
    """
    match path.suffix.lower():
        case ".csv" | ".tsv":
            return ((f"line {line}", cells) for line, cells in read_cells(path, MAX_LINE))
        case ".json":
            return _items(path)
        case _:
            return _lines(path)


def _lines(path: Path) -> Iterator[tuple[str, Mapping[str, Json] | str]]:
    with explained("read a data set's index", path), path.open("rb") as file:
        for number, line in read_lines(file):
            try:
                content = _TOO_LONG if line is None else json.loads(line.decode("utf-8-sig"))
            except (ValueError, RecursionError) as error:
                content = f"it is not JSON: {error}"
            yield f"line {number}", content if isinstance(content, dict | str) else "no mapping"


def _items(path: Path) -> Iterator[tuple[str, Mapping[str, Json] | str]]:
    content = read_json(path)
    if isinstance(content, Problem) or not isinstance(content, list):
        cause = content.cause if isinstance(content, Problem) else "it is not a list of rows"
        raise CorruptError(f"a table cannot be read: {cause}", value=path.name, fix="write [{...}]")
    for number, row in enumerate(content):
        yield f"item {number}", row if isinstance(row, dict) else "no mapping"
