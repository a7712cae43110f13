"""A frozen set: pairs with a judge's scores in one file, to be judged again later."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from editloop.errors import CorruptError
from editloop.images.codec import decode, decode_mask, encode_png
from editloop.judges.calibration.asking import Judged
from editloop.judges.calibration.scales import SCALES
from editloop.schema import Captions, EditedPair, EditType, Json, Mask, Pixels
from editloop.storage.files import Files, explained, temporary
from editloop.storage.parquet import TableWriter, read_rows

__all__ = ["FrozenSet", "freeze", "read_frozen"]

_PICTURES = ("source", "edited", "target", "mask")
_SCORE = pa.struct(
    [("perspective", pa.string()), ("points", pa.float64()), ("passed", pa.float64())]
)
_ROWS = [
    *((name, pa.string()) for name in ("id", "edit", "instruction", "edit_type")),
    *((name, pa.string()) for name in ("source_caption", "target_caption")),
    *((name, pa.binary()) for name in _PICTURES),
    ("scores", pa.list_(_SCORE)),
]
_NAME, _VERSION = b"editloop.judge", b"editloop.judge_version"


@dataclass(frozen=True, slots=True, eq=False)
class FrozenSet:
    """The content of a file: the judge, the pairs with their edits' names, and the scores."""

    path: Path
    judge: str
    version: str
    judged: Judged[str]

    @property
    def edits(self) -> list[str]:
        return self.judged.facts

    def pairs(self) -> Iterator[tuple[EditedPair, str]]:
        """Yield the pairs and their edits' names, streamed in the file's order."""
        for row in read_rows(self.path, what="a frozen set"):
            yield _pair(row), row["edit"]


def freeze(
    path: Path, pairs: Sequence[tuple[EditedPair, str]], judged: Judged[Any], judge: tuple[str, str]
) -> None:
    """Write pairs, their edits' names, and the scores of a judge (name, version)."""
    name, version = judge
    schema = pa.schema(_ROWS, metadata={_NAME: name.encode(), _VERSION: version.encode()})
    rows = [
        {**_written(pair), "edit": edit, "scores": _scores(judged, at)}
        for at, (pair, edit) in enumerate(pairs)
    ]
    files, hidden = Files(), temporary(path)
    with explained("write a frozen set", path):
        writer = TableWriter(files, hidden, schema)
        try:
            writer.write(pa.Table.from_pylist(rows, schema=schema))
            writer.finish()
        finally:
            writer.close()
        files.rename(hidden, path)
        files.sync_path(path.parent)


def read_frozen(path: Path) -> FrozenSet:
    """Read a frozen set; StoreError if the file cannot be read, CorruptError if it is another."""
    with explained("read a frozen set", path), path.open("rb") as handle:
        try:
            schema = pq.read_schema(handle)
        except pa.ArrowException as error:
            raise _no_set(path) from error
    metadata = schema.metadata or {}
    if _NAME not in metadata or not {name for name, _ in _ROWS} <= set(schema.names):
        raise _no_set(path)
    rows = list(read_rows(path, ["edit", "scores"], what="a frozen set"))
    scored = [{each["perspective"]: each for each in row["scores"]} for row in rows]
    names = [name for name in SCALES if scored and name in scored[0]]
    judged = Judged(
        facts=[row["edit"] for row in rows],
        points={name: _column(scored, name, "points") for name in names},
        passed={name: _column(scored, name, "passed") for name in names},
        texts={name: [None] * len(rows) for name in names},
        reasons={name: [None] * len(rows) for name in names},
    )
    return FrozenSet(path, metadata[_NAME].decode(), metadata[_VERSION].decode(), judged)


def _no_set(path: Path) -> CorruptError:
    return CorruptError(
        "this file is not a frozen set",
        value=path,
        fix="name the frozen.parquet of an earlier calibration",
    )


def _scores(judged: Judged[Any], at: int) -> list[dict[str, Json]]:
    return [
        {
            "perspective": name,
            "points": _number(judged.points[name][at]),
            "passed": _number(judged.passed[name][at]),
        }
        for name in judged.perspectives
    ]


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _column(
    scored: Sequence[Mapping[str, Json]], name: str, key: str
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return np.array([np.nan if each[name][key] is None else each[name][key] for each in scored])


def _written(pair: EditedPair) -> dict[str, Json]:
    pictures = {name: getattr(pair, name) for name in _PICTURES}
    return {
        "id": pair.id,
        "instruction": pair.instruction,
        "edit_type": None if pair.edit_type is None else pair.edit_type.value,
        "source_caption": pair.captions.source,
        "target_caption": pair.captions.target,
        **{name: None if each is None else encode_png(each) for name, each in pictures.items()},
    }


def _pair(row: Mapping[str, Json]) -> EditedPair:
    target: Pixels | None = None if row["target"] is None else decode(row["target"])
    mask: Mask | None = None if row["mask"] is None else decode_mask(row["mask"])
    return EditedPair(
        id=row["id"],
        source=decode(row["source"]),
        instruction=row["instruction"],
        edited=decode(row["edited"]),
        target=target,
        mask=mask,
        captions=Captions(row["source_caption"], row["target_caption"]),
        edit_type=None if row["edit_type"] is None else EditType(row["edit_type"]),
    )
