"""How tables are laid out in Parquet: small row groups, pictures as they are, checksums on pages.

Binary columns hold encoded pictures: compressing them again or looking for repeats costs time and
gains nothing. Everything else is compressed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from editloop.errors import CorruptError
from editloop.files import Files, NewFile

__all__ = [
    "GROUP_BYTES",
    "GROUP_ROWS",
    "TableWriter",
    "Written",
    "content_bytes",
    "pieces",
    "read_batches",
]

GROUP_ROWS = 100
GROUP_BYTES = 64_000_000


@dataclass(frozen=True, slots=True)
class Written:
    """A finished file: what a commit record says about it."""

    sha256: str
    rows: int
    bytes: int


class TableWriter:
    """One new Parquet file, written row group by row group; durable once `finish` has returned."""

    def __init__(self, files: Files, path: Path, schema: pa.Schema) -> None:
        self._file = NewFile(files, path)
        self.schema = schema
        self._writer = pq.ParquetWriter(self._file, schema, **_layout(schema))
        self._rows = 0

    @property
    def size(self) -> int:
        """The bytes written so far."""
        return self._file.size

    def write(self, table: pa.Table) -> None:
        """Append rows, as one row group where they fit into one."""
        for piece in pieces(table.combine_chunks()):
            self._writer.write_table(piece, row_group_size=GROUP_ROWS)
            self._rows += piece.num_rows

    def finish(self) -> Written:
        """Close the file and prove that it reads back."""
        self._writer.close()
        self._file.finish()
        return Written(self._file.sha256, self._rows, self._file.size)

    def close(self) -> None:
        """Give up what was not finished."""
        self._file.close()


def pieces(table: pa.Table) -> Iterator[pa.Table]:
    """A table in parts that each fit into one row group; one row always does."""
    rows = table.num_rows
    if rows > 1 and (rows > GROUP_ROWS or content_bytes(table) > GROUP_BYTES):
        half = min(GROUP_ROWS, rows // 2)
        yield from pieces(table.slice(0, half))
        yield from pieces(table.slice(half))
    elif rows:
        yield table


def content_bytes(table: pa.Table) -> int:
    """The bytes of a table's pictures and texts, however the table lies in memory."""
    return sum(_content_bytes(column) for column in table.columns)


def _content_bytes(column: pa.ChunkedArray) -> int:
    kind = column.type
    if pa.types.is_struct(kind):
        parts = [pc.struct_field(column, [index]) for index in range(kind.num_fields)]
        return sum(map(_content_bytes, parts))
    if pa.types.is_list(kind):
        return _content_bytes(pc.list_flatten(column))
    if pa.types.is_binary(kind) or pa.types.is_string(kind):
        return pc.sum(pc.binary_length(column)).as_py() or 0
    return 0


def read_batches(
    handle: BinaryIO, path: Path, columns: list[str] | None = None, rows: int = GROUP_ROWS
) -> Iterator[pa.RecordBatch]:
    """The rows of a Parquet file in batches, page checksums verified; CorruptError on a mismatch.

    `rows` bounds a batch, and so the memory that a reader needs.
    """
    try:
        file = pq.ParquetFile(handle, page_checksum_verification=True)
        yield from file.iter_batches(batch_size=rows, columns=columns, use_threads=False)
    except (OSError, pa.ArrowException) as error:
        if isinstance(error, OSError) and error.errno:
            raise  # the disk failed, which says nothing about the bytes
        raise CorruptError(
            "a Parquet file cannot be read back",
            value=path,
            fix=f"restore it from a copy, or make it again ({error})",
        ) from error


def _layout(schema: pa.Schema) -> dict[str, Any]:
    leaves = [leaf for field in schema for leaf in _leaves(field, "")]
    pictures = [name for name, kind in leaves if pa.types.is_binary(kind)]
    others = [name for name, kind in leaves if not pa.types.is_binary(kind)]
    return {
        "use_dictionary": others,
        "column_encoding": dict.fromkeys(pictures, "PLAIN"),
        "compression": dict.fromkeys(others, "zstd") | dict.fromkeys(pictures, "none"),
        "write_statistics": others,
        "write_page_checksum": True,
    }


def _leaves(field: pa.Field, prefix: str) -> Iterator[tuple[str, pa.DataType]]:
    """The columns that Parquet stores for a field, by their dotted paths."""
    name = f"{prefix}{field.name}"
    if pa.types.is_struct(field.type):
        for child in field.type:
            yield from _leaves(child, f"{name}.")
    elif pa.types.is_list(field.type):
        element = pa.field("element", field.type.value_type)
        yield from _leaves(element, f"{name}.list.")
    else:
        yield name, field.type
