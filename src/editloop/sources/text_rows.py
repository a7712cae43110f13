"""Rows of text files: JSONL, CSV, plain text with one text per line, Parquet and Arrow tables."""

from __future__ import annotations

import difflib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from editloop.errors import FailureClass, RecipeError, known_names
from editloop.kernel.steps import Fail
from editloop.schema import Json
from editloop.sources.files import read_lines
from editloop.sources.formats import FORMATS
from editloop.storage.csv_rows import csv_columns, read_csv_rows
from editloop.storage.files import explained

__all__ = ["TEXT", "TextRow", "check_columns", "read_text_rows", "text_in"]

TEXT = "text"  # the column of a plain text file
_LISTS, _TABLES = (".jsonl", ".csv", ".tsv"), tuple(sorted({*FORMATS} - {".tar"}))


@dataclass(frozen=True, slots=True)
class TextRow:
    """A row with its line or row number, counted from 1: its values by column, or its fault."""

    number: int
    values: Mapping[str, Json] | str


def read_text_rows(path: Path) -> Iterator[TextRow]:
    """Yield the rows of a file, by its suffix; blank lines are skipped.

    Raises RecipeError for a file that is missing or of another kind.
    """
    if not path.is_file():
        raise RecipeError("there is no such file of texts", value=path, fix="give one file")
    if path.suffix == ".txt":
        return _plain(path)
    if path.suffix == ".jsonl":
        return _objects(path)
    if path.suffix in (".csv", ".tsv"):
        return (TextRow(*each) for each in read_csv_rows(path, (), csv_columns(path)))
    if path.suffix in _TABLES:
        rows = FORMATS[path.suffix].without_pictures(path)
        return (TextRow(number, row) for number, row in enumerate(rows, 1))
    known = ", ".join((".txt", *_LISTS, *_TABLES))
    raise RecipeError("not a file of texts", value=path, fix=f"give one of these kinds: {known}")


def check_columns(
    path: Path, columns: Sequence[str], known: Collection[str], needed: Collection[str]
) -> None:
    """Raise RecipeError if a column looks like a known one, or a table lacks a needed one."""
    for name in needed:
        if name not in columns and path.suffix != ".jsonl":
            fix = f"its columns: {', '.join(columns)}"
            raise RecipeError(f"there is no column {name!r}", value=path, fix=fix)
    for name in columns:
        if name not in known and difflib.get_close_matches(name, set(known) - {*columns}, 1):
            raise RecipeError(
                f"a column is misnamed: {name!r}", value=path, fix=known_names(name, known)
            )


def text_in(row: TextRow, name: str, *, needed: bool = True) -> str | Fail | None:
    """Return the text of a column, without surrounding spaces; None if it may be empty and is.

    Returns Fail with the code `text` if it is not a text, or empty although needed.
    """
    if isinstance(row.values, str):
        return _fail(row, row.values)
    value = row.values.get(name)
    if value is not None and not isinstance(value, str):
        return _fail(row, f"its {name!r} is not a text: {value!r}"[:200])
    text = (value or "").strip()
    if text.encode("utf-8", "replace").decode() != text:
        return _fail(row, f"its {name!r} has half a character")
    return text or (_fail(row, f"it has no {name!r}") if needed else None)


def _fail(row: TextRow, cause: str) -> Fail:
    return Fail("text", FailureClass.PERMANENT, f"line {row.number}: {cause}")


def _plain(path: Path) -> Iterator[TextRow]:
    for number, line in _lines(path):
        text = _decoded(line)
        yield TextRow(number, {TEXT: text} if text is not None else "it is not UTF-8, or too long")


def _objects(path: Path) -> Iterator[TextRow]:
    for number, line in _lines(path):
        text = _decoded(line)
        try:
            content = "it is not UTF-8, or too long" if text is None else json.loads(text)
        except (ValueError, RecursionError) as error:
            content = f"it is not JSON: {error}"
        yield TextRow(number, content if isinstance(content, dict | str) else "it is not an object")


def _lines(path: Path) -> Iterator[tuple[int, bytes | None]]:
    with explained("read texts", path), path.open("rb") as file:
        yield from read_lines(file)


def _decoded(line: bytes | None) -> str | None:
    try:
        return None if line is None else line.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None
