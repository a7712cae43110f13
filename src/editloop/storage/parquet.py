"""Parquet files of tables: small row groups, uncompressed pictures, page checksums.

Binary columns hold encoded pictures: compressing them again or building dictionaries costs time and
saves nothing. Everything else is compressed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from editloop.errors import CorruptError
from editloop.storage.files import Files, NewFile, explained
from editloop.storage.unfolding import MAX_BYTES, rows_of

__all__ = [
    "FILE_BYTES",
    "GROUP_BYTES",
    "GROUP_ROWS",
    "Gatherer",
    "SplitWriter",
    "TableWriter",
    "Written",
    "content_bytes",
    "open_parquet",
    "pieces",
    "read_batches",
    "read_footer",
    "read_rows",
]

GROUP_ROWS = 100
GROUP_BYTES = 64_000_000
_FOLDING = frozenset({"PLAIN_DICTIONARY", "RLE_DICTIONARY", "DELTA_BYTE_ARRAY"})
_UNFOLDED = 16 * MAX_BYTES  # bytes, at most, of a column whose texts are read as texts
FILE_BYTES = 480_000_000  # of pictures and texts; the rest of a file is far below 20 MB


@dataclass(frozen=True, slots=True)
class Written:
    """The facts of a finished file that a commit record stores."""

    sha256: str
    rows: int
    bytes: int


class TableWriter:
    """A new Parquet file, written in row groups; durable once `finish` has returned."""

    def __init__(self, files: Files, path: Path, schema: pa.Schema) -> None:
        self._file = NewFile(files, path)
        self._writer = pq.ParquetWriter(self._file, schema, **_layout(schema))
        self._rows = 0

    def write(self, table: pa.Table) -> None:
        """Append rows, as one row group if they fit into one."""
        for piece in pieces(table.combine_chunks()):
            self._writer.write_table(piece, row_group_size=GROUP_ROWS)
            self._rows += piece.num_rows

    def finish(self) -> Written:
        """Close the file and verify it by reading it back."""
        self._writer.close()
        self._file.finish()
        return Written(self._file.sha256, self._rows, self._file.size)

    def close(self) -> None:
        """Close the file without finishing it."""
        self._file.close()


class Gatherer:
    """A new Parquet file to which tables of any size are added; small ones share a row group."""

    def __init__(self, files: Files, path: Path, schema: pa.Schema) -> None:
        self._schema = schema
        self._writer = TableWriter(files, path, schema)
        self._parts: list[pa.Table] = []
        self._rows = 0
        self._bytes = 0

    def add(self, table: pa.Table) -> None:
        """Append the rows of a table; columns that the file does not have are ignored."""
        for piece in pieces(table.select(self._schema.names)):
            size = content_bytes(piece)
            if self._rows + piece.num_rows > GROUP_ROWS or self._bytes + size > GROUP_BYTES:
                self._flush()
            self._parts.append(piece)
            self._rows += piece.num_rows
            self._bytes += size

    def _flush(self) -> None:
        if self._parts:
            self._writer.write(pa.concat_tables(self._parts).cast(self._schema))
        self._parts, self._rows, self._bytes = [], 0, 0

    def finish(self) -> Written:
        """Close the file and verify it by reading it back."""
        self._flush()
        return self._writer.finish()

    def close(self) -> None:
        """Close the file without finishing it."""
        self._writer.close()


class SplitWriter:
    """A split's files `SPLIT-00000-of-0000N.parquet`, at least one, each below `file_bytes`.

    The files are renamed once N is known.
    """

    def __init__(
        self,
        files: Files,
        folder: Path,
        split: str,
        schema: pa.Schema,
        file_bytes: int = FILE_BYTES,
    ) -> None:
        self._files = files
        self._folder = folder
        self._split = split
        self._schema = schema
        self._file_bytes = file_bytes
        self._paths: list[Path] = []
        self._rows = self._next()

    def _next(self) -> Gatherer:
        path = self._folder / f"{self._split}-{len(self._paths):05d}.parquet"
        self._paths.append(path)
        self._bytes = 0
        return Gatherer(self._files, path, self._schema)

    def add(self, table: pa.Table) -> None:
        """Append rows."""
        for piece in pieces(table):
            size = content_bytes(piece)
            if self._bytes and self._bytes + size > self._file_bytes:
                self._rows.finish()
                self._rows = self._next()
            self._rows.add(piece)
            self._bytes += size

    def finish(self) -> None:
        """Close the last file and give all files their final names."""
        self._rows.finish()
        for path in self._paths:
            name = f"{path.stem}-of-{len(self._paths):05d}.parquet"
            self._files.rename(path, path.with_name(name))

    def close(self) -> None:
        """Close the current file without finishing it."""
        self._rows.close()


def pieces(table: pa.Table) -> Iterator[pa.Table]:
    """Yield a table in pieces that each fit into a row group; a single row always fits."""
    rows = table.num_rows
    if rows > 1 and (rows > GROUP_ROWS or content_bytes(table) > GROUP_BYTES):
        half = min(GROUP_ROWS, rows // 2)
        yield from pieces(table.slice(0, half))
        yield from pieces(table.slice(half))
    elif rows:
        yield table


def content_bytes(table: pa.Table) -> int:
    """Return the bytes of a table's pictures and texts, independent of its memory layout."""
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


def open_parquet(handle: BinaryIO, **options: Any) -> pq.ParquetFile:
    """Open a Parquet file, whose page checksums are verified and which this thread alone reads.

    With `pre_buffer`, a thread of Arrow's frees what it read of a Python file at any later time:
    when Python ends meanwhile, the process aborts.
    """
    return pq.ParquetFile(handle, page_checksum_verification=True, pre_buffer=False, **options)


def read_batches(
    handle: BinaryIO,
    path: Path,
    columns: list[str] | None = None,
    rows: int = GROUP_ROWS,
    groups: Sequence[int] | None = None,
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a Parquet file in batches; raises CorruptError if a page checksum fails.

    `rows` limits a batch, and so the memory used. `groups` are the indices of the row groups to
    read; None reads all. A page stores a value once for all rows that repeat it: where texts could
    unfold to gigabytes, they stay dictionary-encoded, and batches of such bytes have fewer rows.
    """
    try:
        file = open_parquet(handle)
        if texts := _long_texts(file.metadata):
            file = open_parquet(handle, read_dictionary=sorted(texts))
        for group in range(file.num_row_groups) if groups is None else groups:
            chunks = _folded(file.metadata, group, columns)
            folded = sum(size for leaf, size, _ in chunks if leaf not in texts)
            yield from file.iter_batches(
                batch_size=max(1, min(rows, MAX_BYTES // max(1, folded))),
                row_groups=[group],
                columns=columns,
                use_threads=False,
            )
    except (OSError, pa.ArrowException) as error:
        if isinstance(error, OSError) and error.errno:
            raise  # the disk failed: the file may be intact
        raise _damaged(path, error) from error


def _long_texts(facts: pq.FileMetaData) -> set[str]:
    """Return the columns of texts that repeat and could unfold to gigabytes."""
    schema = facts.schema
    texts = {
        schema.column(at).path
        for at in range(len(schema))
        if schema.column(at).logical_type.type == "STRING"
    }
    return {
        leaf
        for group in range(facts.num_row_groups)
        for leaf, size, values in _folded(facts, group, None)
        if leaf in texts and size * values > _UNFOLDED
    }


def _folded(
    facts: pq.FileMetaData, group: int, columns: Sequence[str] | None
) -> Iterator[tuple[str, int, int]]:
    """Yield a row group's columns of repeating values: path, bytes and number of values."""
    found = facts.row_group(group)
    for chunk in map(found.column, range(found.num_columns)):
        leaf = chunk.path_in_schema
        folds = chunk.physical_type == "BYTE_ARRAY" and _FOLDING.intersection(chunk.encodings)
        if folds and (columns is None or _is_chosen(leaf, columns)):
            yield leaf, chunk.total_uncompressed_size, chunk.num_values


def _is_chosen(leaf: str, columns: Sequence[str]) -> bool:
    return any(leaf == name or leaf.startswith(f"{name}.") for name in columns)


def read_footer(path: Path) -> pq.FileMetaData:
    """Read the metadata of a Parquet file; raises CorruptError if it is damaged."""
    try:
        return pq.read_metadata(path)
    except pa.ArrowException as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> CorruptError:
    return CorruptError(
        "a Parquet file cannot be read back",
        value=path,
        fix=f"restore it from a copy, or rebuild it ({error})",
    )


def read_rows(
    path: Path, columns: list[str] | None = None, *, what: str, rows: int = GROUP_ROWS
) -> Iterator[dict[str, Any]]:
    """Yield the rows of a Parquet file; at most `rows` are in memory.

    Raises CorruptError like `read_batches` and for a row that is too large, and StoreError if the
    disk fails, with a message that names `what` could not be read.
    """
    with explained(f"read {what}", path), path.open("rb") as handle:
        for batch in read_batches(handle, path, columns, rows):
            for row in rows_of(batch):
                if isinstance(row, str):
                    raise CorruptError(f"a row cannot be read: {row}", value=path)
                yield row


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
    """Yield the dotted path and type of each column that Parquet stores for a field."""
    name = f"{prefix}{field.name}"
    if pa.types.is_struct(field.type):
        for child in field.type:
            yield from _leaves(child, f"{name}.")
    elif pa.types.is_list(field.type):
        element = pa.field("element", field.type.value_type)
        yield from _leaves(element, f"{name}.list.")
    else:
        yield name, field.type
