"""Readers for the table formats that contain pictures, by suffix: Parquet, Arrow, WebDataset."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from editloop.schema import Json
from editloop.sources import stored, stored_arrow, stored_tar

__all__ = ["FORMATS", "Format", "format_of", "is_format"]

_Rows = Iterator[Mapping[str, Json]] | Iterator[Mapping[str, Json] | str]


@dataclass(frozen=True, slots=True)
class Format:
    """The functions that read one format. An unreadable row is returned as text with the reason.

    `columns` returns the column names, for WebDataset those of the first rows. The others take the
    columns whose pictures and lists are wanted (`stored.Wanted`), beside those with plain values.
    """

    columns: Callable[[Path], Sequence[str]]
    all_rows: Callable[..., _Rows]
    without_pictures: Callable[..., _Rows]
    rows_at: Callable[..., Iterator[tuple[int, Mapping[str, Json] | str]]]


FORMATS: Mapping[str, Format] = {
    f".{name}": Format(
        module.column_names, module.all_rows, module.rows_without_pictures, module.rows_at
    )
    for name, module in (("parquet", stored), ("arrow", stored_arrow), ("tar", stored_tar))
}


def format_of(path: Path) -> Format:
    """Return the format of a table file."""
    return FORMATS[_suffix(path)]


def is_format(path: Path) -> bool:
    """Return whether a file has one of the formats, by its name."""
    return _suffix(path) in FORMATS


def _suffix(path: Path) -> str:
    return ".tar" if stored_tar.is_packed_tar(path) else path.suffix.lower()
