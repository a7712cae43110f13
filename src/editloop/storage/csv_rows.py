"""Rows of a CSV file with named columns, each with its line number."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterator
from pathlib import Path

from editloop.errors import RecipeError, did_you_mean
from editloop.storage.files import explained

__all__ = ["csv_columns", "read_csv_rows", "wrong_row"]


def read_csv_rows(
    path: Path, needed: Collection[str], known: Collection[str]
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the line number and the cells of each row, without surrounding spaces.

    Commas, semicolons or tabs may separate the cells, whichever the header has; a missing cell is
    empty and blank lines are skipped. Raises RecipeError for a file that is not UTF-8, for columns
    that are missing, unknown or twice there, and for a row with more cells than columns.
    """
    _check_file(path)
    with explained("read rows", path):
        data = path.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RecipeError(f"a CSV must be UTF-8: {error}", value=path) from None
    rows = csv.DictReader(
        io.StringIO(text, newline=""), restval="", strict=True, delimiter=_delimiter(text)
    )
    columns = [name.strip() for name in rows.fieldnames or ()]
    _check_columns(columns, needed, known, path)
    rows.fieldnames = columns
    try:
        for row in rows:
            if None in row:
                raise wrong_row(path, rows.line_num, "it has more cells than there are columns")
            if any(map(str.strip, row.values())):
                yield rows.line_num, {name: cell.strip() for name, cell in row.items()}
    except csv.Error as error:
        raise wrong_row(path, rows.line_num, str(error)) from None


def csv_columns(path: Path) -> list[str]:
    """Return the names of the columns in the header."""
    _check_file(path)
    with explained("read rows", path), path.open(encoding="utf-8-sig", errors="replace") as lines:
        header = lines.readline()
    return [name.strip() for name in next(csv.reader([header], delimiter=_delimiter(header)), [])]


def wrong_row(path: Path, line: int, cause: str, fix: str | None = None) -> RecipeError:
    """Return the error of a row, with its line."""
    return RecipeError(f"line {line}: {cause}", value=path, fix=fix)


def _check_file(path: Path) -> None:
    """Raise a RecipeError unless it is a file: reading a pipe would wait for ever."""
    if not path.is_file():
        raise RecipeError("no such file", value=path, fix="give the path of a CSV")


def _delimiter(text: str) -> str:
    header = text.partition("\n")[0]
    return max(",;\t", key=header.count)


def _check_columns(
    columns: list[str], needed: Collection[str], known: Collection[str], path: Path
) -> None:
    fix = f"write the columns {', '.join(known)}"
    for name in needed:
        if name not in columns:
            raise RecipeError(f"there is no column {name!r}", value=path, fix=fix)
    for name in columns:
        if name not in known:
            guess = did_you_mean(name, known)
            raise RecipeError(f"unknown column {name!r}", value=path, fix=f"{guess}{fix}")
    if len(set(columns)) < len(columns):
        raise RecipeError("a column is there twice", value=path, fix=fix)
