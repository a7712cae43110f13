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
from editloop.sources.arrow_messages import check_compression
from editloop.sources.stored import Wanted, is_bytes, is_list, is_picture, stand_in
from editloop.storage.files import explained
from editloop.storage.unfolding import rows_of

__all__ = ["all_rows", "column_names", "rows_at", "rows_without_pictures"]

_BATCH = 16  # rows with pictures in memory at a time
_LIGHT_BATCH = 1000  # rows without pictures
_MAGIC = b"ARROW1"  # of the file format; the stream format that `datasets` writes has none
_START = 8  # bytes before the messages of the file format, which are those of a stream


def all_rows(path: Path, wanted: Wanted = None) -> Iterator[Mapping[str, Json] | str]:
    """Yield every row with its pictures, or why it is too large.

    Raises CorruptError if the file cannot be read.
    """
    with _batches(path) as batches:
        for batch in batches:
            for start in range(0, batch.num_rows, _BATCH):
                yield from rows_of(_lightened(batch.slice(start, _BATCH), wanted))


def rows_without_pictures(path: Path, _wanted: Wanted = None) -> Iterator[Mapping[str, Json] | str]:
    """Yield every row with placeholders for bytes."""
    with _batches(path) as batches:
        for batch in batches:
            for start in range(0, batch.num_rows, _LIGHT_BATCH):
                yield from _light_rows(batch.slice(start, _LIGHT_BATCH))


def rows_at(
    path: Path, rows: Sequence[int], wanted: Wanted = None
) -> Iterator[tuple[int, Mapping[str, Json] | str]]:
    """Yield the selected rows with their numbers, in order."""
    numbers, start = sorted(set(rows)), 0
    with _batches(path) as batches:
        for batch in batches:
            for row in numbers:
                if start <= row < start + batch.num_rows:
                    one = _lightened(batch.slice(row - start, 1), wanted)
                    yield from ((row, each) for each in rows_of(one))
            start += batch.num_rows


def column_names(path: Path) -> list[str]:
    """Return the names of the file's columns."""
    with _batches(path) as batches:
        return list(batches.schema.names)


@contextmanager
def _batches(path: Path) -> Iterator[pa.RecordBatchReader]:
    try:
        with explained("read a data set", path), pa.memory_map(str(path)) as mapped:
            head = mapped.read(len(_MAGIC))
            check_compression(mapped, _START if head == _MAGIC else 0, path)
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


def _lightened(batch: pa.RecordBatch, wanted: Wanted) -> pa.RecordBatch:
    """Return a batch without other columns than `wanted` that hold pictures, bytes or lists."""
    if wanted is None:
        return batch
    kept = [
        field.name
        for field in batch.schema
        if field.name in wanted
        or not (is_bytes(field.type) or is_list(field.type) or is_picture(field.type))
    ]
    return batch.select(kept)


def _light_rows(batch: pa.RecordBatch) -> Iterator[Mapping[str, Json] | str]:
    light = {
        field.name: column
        for field, column in zip(
            batch.schema, map(_light, batch.schema, batch.columns), strict=True
        )
        if column is not None
    }
    empty = pa.RecordBatch.from_pylist([{}] * batch.num_rows)
    for row in rows_of(pa.RecordBatch.from_pydict(light) if light else empty):
        if isinstance(row, str):
            yield row
        else:
            yield {field.name: stand_in(field, row.get(field.name)) for field in batch.schema}


def _light(field: pa.Field, column: pa.Array) -> pa.Array | None:
    """Return a column without its bytes; None if nothing is left."""
    if is_bytes(field.type):
        return None
    if not is_picture(field.type):
        return column
    kept = [child for child in field.type if not is_bytes(child.type)]
    if not kept:
        return None
    parts = [column.field(child.name) for child in kept]
    return pa.StructArray.from_arrays(parts, fields=kept, mask=column.is_null())
