"""Rows of a CSV file with named columns, each with its line number."""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator
from pathlib import Path

from editloop.errors import RecipeError, did_you_mean
from editloop.storage.files import explained

__all__ = ["csv_columns", "read_cells", "read_csv_rows", "wrong_row"]


def read_csv_rows(
    path: Path, needed: Collection[str], known: Collection[str]
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the line number and the cells of each row, without surrounding spaces.

    Commas, semicolons or tabs may separate the cells, whichever the header has; a missing cell is
    empty and blank lines are skipped. Raises RecipeError for a file that is not UTF-8, for columns
    that are missing, unknown or twice there, and for a row with more cells than columns.
    """
    _check_columns(csv_columns(path), needed, known, path)
    for line, cells in read_cells(path):
        if isinstance(cells, str):
            raise wrong_row(path, line, cells)
        yield line, {name: cell.strip() for name, cell in cells.items()}


def read_cells(path: Path, longest: int = 131_072) -> Iterator[tuple[int, dict[str, str] | str]]:
    """Yield the line number and the cells of each row that is not blank, or as text its fault.

    A row may span lines within quotes; `longest` is the length of a cell in characters. Raises
    RecipeError for a file that is not UTF-8 or not a CSV, and for a column that is there twice.
    """
    columns = csv_columns(path)
    if len(set(columns)) < len(columns):
        raise RecipeError("a column is there twice", value=path, fix="rename it in the header")
    csv.field_size_limit(longest)
    with explained("read rows", path), path.open(encoding="utf-8-sig", newline="") as file:
        try:
            delimiter = _delimiter(path, file.readline())
            file.seek(0)
            rows = csv.reader(file, strict=True, delimiter=delimiter)
            next(rows, None)
            for row in rows:
                if len(row) > len(columns):
                    yield rows.line_num, "it has more cells than there are columns"
                elif any(map(str.strip, row)):
                    cells = [*row, *[""] * (len(columns) - len(row))]
                    yield rows.line_num, dict(zip(columns, cells, strict=True))
        except UnicodeDecodeError as error:
            raise RecipeError(f"a CSV must be UTF-8: {error}", value=path) from None
        except csv.Error as error:
            raise wrong_row(path, rows.line_num, str(error)) from None


def csv_columns(path: Path) -> list[str]:
    """Return the names of the columns in the header."""
    _check_file(path)
    with explained("read rows", path), path.open(encoding="utf-8-sig", errors="replace") as lines:
        header = lines.readline()
    cells = next(csv.reader([header], delimiter=_delimiter(path, header)), [])
    return [name.strip() for name in cells]


def wrong_row(path: Path, line: int, cause: str, fix: str | None = None) -> RecipeError:
    """Return the error of a row, with its line."""
    return RecipeError(f"line {line}: {cause}", value=path, fix=fix)


def _check_file(path: Path) -> None:
    """Raise a RecipeError unless it is a file: reading a pipe would wait for ever."""
    if not path.is_file():
        raise RecipeError("no such file", value=path, fix="give the path of a CSV")


def _delimiter(path: Path, header: str) -> str:
    return "\t" if path.suffix.lower() == ".tsv" else max(",;\t", key=header.count)


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
