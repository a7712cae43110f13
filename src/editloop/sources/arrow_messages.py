"""Check of Arrow files before they are read: how much their compressed buffers unfold to.

Arrow decompresses a whole record batch at once, so a file of kilobytes could take all memory. The
size of each buffer is stored before its compressed bytes.

Source: https://arrow.apache.org/docs/format/Columnar.html, Message.fbs.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from editloop.errors import CorruptError

__all__ = ["check_compression"]

_MOST = 1_000_000_000  # bytes of a record batch in memory
_HEADER = 2  # fields of the tables, by their number in Message.fbs
_DATA = 1
_BUFFERS, _COMPRESSION = 2, 3


def check_compression(file: pa.MemoryMappedFile, start: int, path: Path) -> None:
    """Raise CorruptError if a record batch unfolds to more than a gigabyte."""
    file.seek(start)
    reader = pa.ipc.MessageReader.open_stream(file)
    for message in _messages(reader):
        if message.type in ("record batch", "dictionary"):
            size = sum(_unfolded(message))
            if size > _MOST:
                raise CorruptError(
                    f"a record batch unfolds to {size:,} bytes",
                    value=path,
                    fix="save the data again, in smaller batches or without compression",
                )


def _messages(reader: pa.MessageReader) -> Iterator[pa.Message]:
    try:
        yield from reader
    except pa.ArrowInvalid:  # the footer of the file format, or damage that its reader reports
        return


def _unfolded(message: pa.Message) -> Iterator[int]:
    """Yield the size of each compressed buffer."""
    data, body = memoryview(message.metadata), message.body
    batch = _table(data, _at(data, 0), _HEADER)
    if message.type == "dictionary" and batch is not None:
        batch = _table(data, batch, _DATA)
    if batch is None or _table(data, batch, _COMPRESSION) is None:
        return
    buffers = _table(data, batch, _BUFFERS)
    if buffers is None:
        return
    for at in range(struct.unpack_from("<I", data, buffers)[0]):
        offset, length = struct.unpack_from("<qq", data, buffers + 4 + 16 * at)
        if length >= 8:
            yield struct.unpack_from("<q", memoryview(body), offset)[0]


def _table(data: memoryview, table: int, field: int) -> int | None:
    """Return the position of a table's field that is a table or a vector; None if it is absent."""
    fields = table - struct.unpack_from("<i", data, table)[0]
    size: int = struct.unpack_from("<H", data, fields)[0]
    entry = 4 + 2 * field
    offset: int = struct.unpack_from("<H", data, fields + entry)[0] if entry < size else 0
    return _at(data, table + offset) if offset else None


def _at(data: memoryview, place: int) -> int:
    """Return the position that an offset stored at a place points to."""
    offset: int = struct.unpack_from("<I", data, place)[0]
    return place + offset
