"""Rows of Arrow files, as saved by `datasets`: all, all without pictures, or selected rows.

Files are memory-mapped, so that only requested data is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from editloop.errors import CorruptError
from editloop.schema import Json
from editloop.sources.stored import is_bytes, is_picture, stand_in
from editloop.storage.files import explained

__all__ = ["all_rows", "column_names", "rows_at", "rows_without_pictures"]

_BATCH = 16  # rows with pictures in memory at a time
_MAGIC = b"ARROW1"  # of the file format; the stream format that `datasets` writes has none


def all_rows(path: Path) -> Iterator[Mapping[str, Json]]:
    """Yield every row with its pictures; raise CorruptError if the file cannot be read."""
    with _batches(path) as batches:
        for batch in batches:
            for start in range(0, batch.num_rows, _BATCH):
                yield from batch.slice(start, _BATCH).to_pylist()


def rows_without_pictures(path: Path) -> Iterator[Mapping[str, Json]]:
    """Yield every row with placeholders for bytes."""
    with _batches(path) as batches:
        for batch in batches:
            yield from _light_rows(batch)


def rows_at(path: Path, rows: Sequence[int]) -> dict[int, Mapping[str, Json]]:
    """Return the selected rows by number."""
    found: dict[int, Mapping[str, Json]] = {}
    start = 0
    with _batches(path) as batches:
        for batch in batches:
            own = [row for row in rows if start <= row < start + batch.num_rows]
            found.update((row, batch.slice(row - start, 1).to_pylist()[0]) for row in own)
            start += batch.num_rows
    return found


def column_names(path: Path) -> list[str]:
    """Return the names of the file's columns."""
    with _batches(path) as batches:
        return list(batches.schema.names)


@contextmanager
def _batches(path: Path) -> Iterator[pa.RecordBatchReader]:
    try:
        with explained("read a data set", path), pa.memory_map(str(path)) as mapped:
            head = mapped.read(len(_MAGIC))
            mapped.seek(0)
            yield _whole_file(mapped) if head == _MAGIC else pa.ipc.open_stream(mapped)
    except pa.ArrowException as error:
        raise CorruptError(
            "an Arrow file cannot be read",
            value=path,
            fix=f"restore it from a copy, or save it again ({error})",
        ) from error


def _whole_file(mapped: pa.MemoryMappedFile) -> pa.RecordBatchReader:
    file = pa.ipc.open_file(mapped)
    batches = (file.get_batch(at) for at in range(file.num_record_batches))
    return pa.RecordBatchReader.from_batches(file.schema, batches)


def _light_rows(batch: pa.RecordBatch) -> Iterator[Mapping[str, Json]]:
    columns = {field.name: _light(field, batch.column(field.name)) for field in batch.schema}
    for at in range(batch.num_rows):
        yield {name: values[at] for name, values in columns.items()}


def _light(field: pa.Field, column: pa.Array) -> Sequence[Json]:
    if is_bytes(field.type):
        return [b""] * len(column)
    if not is_picture(field.type):
        return list(column.to_pylist())
    kept = [child for child in field.type if not is_bytes(child.type)]
    values = {child.name: column.field(child.name).to_pylist() for child in kept}
    there = column.is_valid().to_pylist()
    return [
        stand_in(field, {name: each[at] for name, each in values.items()} if there[at] else None)
        for at in range(len(column))
    ]
