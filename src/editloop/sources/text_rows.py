"""Rows of texts: plain text with one text per line, and tables of every kind."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from editloop.errors import FailureClass, RecipeError, known_names
from editloop.kernel.steps import Fail
from editloop.sources.files import read_lines
from editloop.sources.formats import FORMATS, format_of
from editloop.sources.text_tables import TEXT_TABLES, TextRow, is_text_table, text_rows
from editloop.storage.files import explained

__all__ = ["TEXT", "check_columns", "read_text_rows", "text_in"]

TEXT = "text"  # the column of a plain text file
_TABLES = tuple(sorted({*FORMATS} - {".tar"}))
_JSON = (".jsonl", ".ndjson", ".json")  # whose rows may lack columns


def read_text_rows(path: Path) -> Iterator[TextRow]:
    """Yield the rows of a file, by its suffix; blank lines are skipped.

    Rows of Parquet and Arrow tables are counted from 1. Raises RecipeError for a file that is
    missing or of another kind.
    """
    if not path.is_file():
        raise RecipeError("there is no such file of texts", value=path, fix="give one file")
    suffix = path.suffix.lower()
    if suffix == ".txt":
        return _plain(path)
    if is_text_table(path):
        return text_rows(path)
    if suffix in _TABLES:
        rows = enumerate(format_of(path).without_pictures(path), 1)
        return (TextRow(f"row {number}", number, row) for number, row in rows)
    known = ", ".join((".txt", *TEXT_TABLES, *_TABLES))
    raise RecipeError("not a file of texts", value=path, fix=f"give one of these kinds: {known}")


def check_columns(
    path: Path, columns: Sequence[str], known: Collection[str], needed: Collection[str]
) -> None:
    """Raise RecipeError if a column looks like a known one, or a table lacks a needed one."""
    for name in needed:
        if name not in columns and path.suffix.lower() not in _JSON:
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
    return Fail("text", FailureClass.PERMANENT, f"{row.where}: {cause}")


def _plain(path: Path) -> Iterator[TextRow]:
    with explained("read texts", path), path.open("rb") as file:
        for number, line in read_lines(file):
            try:
                values = "it is too long" if line is None else {TEXT: line.decode("utf-8-sig")}
            except UnicodeDecodeError as error:
                values = f"it is not UTF-8: {error}"
            yield TextRow(f"line {number}", number, values)
