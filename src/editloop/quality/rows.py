"""The numbers of every sample as a table: `quality.parquet`, one row per sample."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from editloop.errors import UnavailableError
from editloop.quality.chunks import DataChunk
from editloop.quality.summary import own_label
from editloop.schema import Json
from editloop.storage.files import Files, explained, temporary
from editloop.storage.parquet import Gatherer

__all__ = ["RowWriter", "writing_rows"]

_UNSCORED = pa.list_(pa.struct([("metric", pa.string()), ("reason", pa.string())]))
_FACTS = [
    ("id", pa.string()),
    ("session", pa.string()),
    ("turn", pa.int32()),
    ("edit_type", pa.string()),
    ("label", pa.string()),  # the data set's own kind of edit
]


class RowWriter:
    """Writes the rows of chunks, in order."""

    def __init__(
        self, path: Path, metrics: Sequence[str], missing: Mapping[str, UnavailableError]
    ) -> None:
        numbers = [(metric, pa.float64()) for metric in metrics]
        self._schema = pa.schema([*_FACTS, *numbers, ("unscored", _UNSCORED)])
        self._metrics = tuple(metrics)
        self._missing = {metric: error.cause for metric, error in missing.items()}
        self._path = path
        with explained("write a data set's numbers", path):
            self._rows = Gatherer(Files(), path, self._schema)

    def add(self, chunk: DataChunk, numbers: Mapping[str, pa.Table]) -> None:
        """Add a chunk's samples."""
        values = {name: table["value"].to_pylist() for name, table in numbers.items()}
        reasons = {name: table["reason"].to_pylist() for name, table in numbers.items()}
        rows: list[Json] = []
        for at, sample in enumerate(chunk.samples):
            unscored = self._missing | {name: reasons[name][at] for name in reasons}
            rows.append(
                {
                    "id": sample.id,
                    "session": sample.session,
                    "turn": sample.turn,
                    "edit_type": None if sample.edit_type is None else sample.edit_type.value,
                    "label": own_label(sample),
                    **{name: values[name][at] for name in values},
                    "unscored": [
                        {"metric": name, "reason": unscored[name]}
                        for name in self._metrics
                        if unscored[name] is not None
                    ],
                }
            )
        with explained("write a data set's numbers", self._path):
            self._rows.add(pa.Table.from_pylist(rows, schema=self._schema))

    def finish(self, path: Path) -> None:
        """Check that the table can be read back, and move it to its final path."""
        files = Files()
        with explained("write a data set's numbers", path):
            self._rows.finish()
            files.rename(self._path, path)
            files.sync_path(path.parent)

    def close(self) -> None:
        """Discard an unfinished table."""
        self._rows.close()


@contextmanager
def writing_rows(
    path: Path, metrics: Sequence[str], missing: Mapping[str, UnavailableError]
) -> Iterator[RowWriter]:
    """Write a table of rows that is moved to `path` only when all rows are written."""
    writer = RowWriter(temporary(path), metrics, missing)
    try:
        yield writer
        writer.finish(path)
    finally:
        writer.close()
