"""Rows of Arrow batches as Python values, under a limit.

A file of a few kilobytes can unfold to gigabytes: its dictionary stores a text once for a million
rows. The rows of a batch that would become large are made one at a time, and a value above the
limit is a fault of its row.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from editloop.schema import Json

__all__ = ["MAX_BYTES", "MAX_TEXT", "rows_of"]

MAX_BYTES = 256_000_000  # of a picture, and of all values of a row
MAX_TEXT = 1_000_000  # bytes of a text


_SMALL = 16_000_000  # bytes of a batch whose rows are made all at once


class _TooLargeError(Exception):
    """A value that is not read, because of its size."""


def rows_of(batch: pa.RecordBatch) -> Iterator[dict[str, Json] | str]:
    """Yield each row, or as text why it is too large to be read."""
    if sum(map(_unfolded, batch.columns)) <= _SMALL:
        yield from batch.to_pylist()
        return
    for at in range(batch.num_rows):
        left = _Budget()
        try:
            yield {
                name: left.value(column[at], name)
                for name, column in zip(batch.schema.names, batch.columns, strict=True)
            }
        except _TooLargeError as error:
            yield str(error)


def _unfolded(array: Any) -> int:
    """Return at least the bytes of all values of an array as Python objects."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        longest = pc.max(pc.binary_length(array.dictionary.cast(pa.large_binary()))).as_py()
        return len(array) * (longest or 0)
    if pa.types.is_struct(kind):
        return sum(map(_unfolded, array.flatten()))
    if _is_list(kind):
        return _unfolded(array.flatten())
    if pa.types.is_string_view(kind) or pa.types.is_binary_view(kind):
        return _SMALL + 1  # many views may show the same bytes, and Arrow does not measure them
    if _is_text(kind) or _is_binary(kind):
        return pc.sum(pc.binary_length(array)).as_py() or 0
    return int(array.nbytes)


class _Budget:
    """The bytes that the values of one row may still have."""

    def __init__(self) -> None:
        self._left = MAX_BYTES

    def value(self, scalar: Any, name: str) -> Json:
        """Return a scalar as a Python value; `name` is its column."""
        if not scalar.is_valid:
            return None
        kind = scalar.type
        if pa.types.is_dictionary(kind):
            return self.value(scalar.value, name)
        if pa.types.is_struct(kind):
            return {each.name: self.value(scalar[each.name], name) for each in kind}
        if _is_list(kind):
            return [self.value(each, name) for each in scalar.values]
        if _is_text(kind) or _is_binary(kind):
            self._spend(scalar.as_buffer().size, name, text=_is_text(kind))
        return scalar.as_py()

    def _spend(self, size: int, name: str, *, text: bool) -> None:
        self._left -= size
        if size > (MAX_TEXT if text else MAX_BYTES):
            raise _TooLargeError(f"its {name} has {size:,} bytes")
        if self._left < 0:
            raise _TooLargeError(f"its values have more than {MAX_BYTES:,} bytes")


def _is_list(kind: pa.DataType) -> bool:
    tests = pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list
    return any(test(kind) for test in tests)


def _is_text(kind: pa.DataType) -> bool:
    tests = pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view
    return any(test(kind) for test in tests)


def _is_binary(kind: pa.DataType) -> bool:
    tests = pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view
    return any(test(kind) for test in tests)
