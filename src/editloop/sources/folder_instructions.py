"""The table of instructions beside folders of pictures, by the pictures' names."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from editloop.errors import RecipeError
from editloop.sources.columns import COLUMNS
from editloop.sources.text_tables import is_text_table, text_columns, text_rows

__all__ = ["instruction_tables", "instructions_in"]

_PICTURE = (
    *("file_name", "filename", "file", "name", "stem", "image", "id", "before", "source", "after"),
    *("target",),
)
_WORDS = (*COLUMNS["instruction"], "prompt", "caption", "text")


def instruction_tables(folder: Path) -> list[Path]:
    """Return the tables in a folder that may hold instructions."""
    return sorted(path for path in folder.iterdir() if path.is_file() and is_text_table(path))


def instructions_in(folder: Path) -> dict[str, str]:
    """Return the instructions by the pictures' names without suffix; empty without a table.

    Raises RecipeError if there are several tables, or one without the columns.
    """
    tables = instruction_tables(folder)
    if not tables:
        return {}
    if len(tables) > 1:
        names = ", ".join(path.name for path in tables)
        raise RecipeError(f"several tables may hold the instructions: {names}", fix="keep one")
    columns = text_columns(tables[0])
    key = next((each for each in _PICTURE if each in columns), None)
    words = next((each for each in _WORDS if each in columns), None)
    if key is None or words is None:
        raise RecipeError(
            f"{tables[0].name} does not say which picture has which instruction",
            fix="write a CSV with the columns file_name and instruction",
        )
    found: dict[str, str] = {}
    for row in text_rows(tables[0]):
        values = row.values
        if isinstance(values, str):
            raise RecipeError(f"{tables[0].name} {row.where}: {values}", fix="correct the line")
        name = PurePosixPath(str(values.get(key) or "")).with_suffix("").as_posix()
        text = str(values.get(words) or "").strip()
        if found.setdefault(name, text) != text:
            raise RecipeError(
                f"{tables[0].name} has two instructions for {name!r}", fix="keep one per picture"
            )
    return {name: text for name, text in found.items() if text}
