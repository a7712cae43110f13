"""Rows of Parquet files with pictures: all rows, all rows without pictures, or selected rows."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import TypeAlias

import pyarrow as pa

from editloop.schema import Json
from editloop.storage.files import explained
from editloop.storage.parquet import GROUP_ROWS, read_batches, read_footer
from editloop.storage.unfolding import rows_of

__all__ = [
    "Wanted",
    "all_rows",
    "column_names",
    "is_bytes",
    "is_list",
    "is_picture",
    "rows_at",
    "rows_without_pictures",
    "stand_in",
]

Wanted: TypeAlias = Collection[str] | None

_BATCH = 16  # rows with pictures in memory at a time


def all_rows(path: Path, wanted: Wanted = None) -> Iterator[Mapping[str, Json] | str]:
    """Yield every row with its pictures, or why it is too large.

    Bytes and lists are read only in the columns `wanted` (None: all). Raises CorruptError if the
    file cannot be read.
    """
    with explained("read a data set", path), path.open("rb") as file:
        fields = _fields(path)
        for batch in read_batches(file, path, _columns(fields, wanted), rows=_BATCH):
            yield from _filled(batch, fields, wanted)


def rows_without_pictures(path: Path, wanted: Wanted = None) -> Iterator[Mapping[str, Json] | str]:
    """Yield every row without reading its bytes: values that may hold bytes are empty.

    Lists are read only in the columns `wanted` (None: all).
    """
    with explained("read a data set", path), path.open("rb") as file:
        fields = _fields(path)
        lists = [
            field.name
            for field in fields
            if is_list(field.type) and (wanted is None or field.name in wanted)
        ]
        for batch in read_batches(file, path, _columns(fields, lists), GROUP_ROWS):
            yield from _filled(batch, fields, lists)


def rows_at(
    path: Path, rows: Sequence[int], wanted: Wanted = None
) -> Iterator[tuple[int, Mapping[str, Json] | str]]:
    """Yield the selected rows with their numbers, in order; each row group is read once."""
    fields = _fields(path)
    columns = _columns(fields, wanted)
    numbers = set(rows)
    with explained("read a data set", path), path.open("rb") as file:
        start = 0
        facts = read_footer(path)
        for group in range(facts.num_row_groups):
            end = start + facts.row_group(group).num_rows
            if not numbers.isdisjoint(range(start, end)):
                batches = read_batches(file, path, columns, rows=_BATCH, groups=[group])
                for at, row in _chosen(batches, start, numbers):
                    yield at, next(_filled(row, fields, wanted))
            start = end


def column_names(path: Path) -> list[str]:
    """Return the names of the file's columns."""
    with explained("read a data set", path):
        return list(read_footer(path).schema.to_arrow_schema().names)


def _chosen(
    batches: Iterable[pa.RecordBatch], start: int, wanted: Set[int]
) -> Iterator[tuple[int, pa.RecordBatch]]:
    for batch in batches:
        for at in range(batch.num_rows):
            if start + at in wanted:
                yield start + at, batch.slice(at, 1)
        start += batch.num_rows


def _fields(path: Path) -> list[pa.Field]:
    with explained("read a data set", path):
        return list(read_footer(path).schema.to_arrow_schema())


def _columns(fields: Sequence[pa.Field], wanted: Wanted) -> list[str] | None:
    """Return the leaves to read: of other columns than `wanted` neither bytes nor lists."""
    if wanted is None:
        return None
    return [
        leaf
        for field in fields
        for leaf in ([field.name] if field.name in wanted else _leaves(field))
    ]


def _filled(
    batch: pa.RecordBatch, fields: Sequence[pa.Field], wanted: Wanted
) -> Iterator[Mapping[str, Json] | str]:
    """Yield the rows of a batch with placeholders for what was not read."""
    for row in rows_of(batch):
        if isinstance(row, str) or wanted is None:
            yield row
        else:
            yield {
                field.name: row.get(field.name)
                if field.name in wanted
                else stand_in(field, row.get(field.name))
                for field in fields
            }


def _leaves(field: pa.Field) -> list[str]:
    """Return the columns of a field that hold neither bytes nor lists."""
    if is_bytes(field.type) or is_list(field.type):
        return []
    if is_picture(field.type):
        return [f"{field.name}.{each.name}" for each in field.type if not is_bytes(each.type)]
    return [field.name]


def stand_in(field: pa.Field, value: Json) -> Json:
    """Return a value read without its bytes, with empty bytes as placeholders."""
    if is_bytes(field.type):
        return b""
    if not is_picture(field.type):
        return value
    empty = {each.name: b"" for each in field.type if is_bytes(each.type)}
    unread = len(empty) == field.type.num_fields  # nothing was read, so None may still hide bytes
    return None if value is None and not unread else {**(value or {}), **empty}


def is_bytes(kind: pa.DataType) -> bool:
    """Return whether a column of this type holds bytes."""
    tests = pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view
    return any(test(kind) for test in tests)


def is_list(kind: pa.DataType) -> bool:
    """Return whether a column of this type holds lists."""
    tests = pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list
    return any(test(kind) for test in tests)


def is_picture(kind: pa.DataType) -> bool:
    """Return whether a column of this type is Hugging Face's image column, or a similar one."""
    return pa.types.is_struct(kind) and any(is_bytes(each.type) for each in kind)
