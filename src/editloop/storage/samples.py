"""Stored samples: their Arrow schema and rows, and reading of a published split."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow as pa

from editloop.errors import StoreError
from editloop.schema import (
    EditSample,
    EditType,
    Image,
    Json,
    Provenance,
    Score,
    Unscored,
    canonical_json,
)
from editloop.storage.parquet import read_rows

__all__ = ["arrow_schema", "from_row", "published_files", "read_samples", "to_row"]


# `datasets` does not support Arrow maps, so scores are a list of named structs. The type is fixed,
# and judging adds no column.

_IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


_SCORE = pa.struct(
    [
        ("name", pa.string()),
        ("value", pa.float64()),
        ("passed", pa.bool_()),
        ("text", pa.string()),
        ("reason", pa.string()),
        ("version", pa.string()),
    ]
)


_PROVENANCE = pa.struct(
    [
        ("generator", pa.string()),
        ("revision", pa.string()),
        ("seed", pa.int64()),
        ("parameters", pa.string()),
        ("licence", pa.string()),
        ("source_uri", pa.string()),
    ]
)


_COLUMNS: dict[str, pa.DataType] = {
    "id": pa.string(),
    "source": _IMAGE,
    "instruction": pa.string(),
    "target": _IMAGE,
    "mask": _IMAGE,
    "edit_type": pa.string(),
    "edit_object": pa.string(),
    "source_caption": pa.string(),
    "target_caption": pa.string(),
    "inverse_instruction": pa.string(),
    "session": pa.string(),
    "turn": pa.int32(),
    "parent_id": pa.string(),
    "scores": pa.list_(_SCORE),
    "provenance": _PROVENANCE,
}


def _feature(kind: pa.DataType) -> Json:
    """Return the Hugging Face `features` description of an Arrow type."""
    if kind == _IMAGE:
        return {"_type": "Image"}
    if pa.types.is_list(kind):
        return {"feature": _feature(kind.value_type), "_type": "List"}
    if pa.types.is_struct(kind):
        return {item.name: _feature(item.type) for item in kind}
    name = {"double": "float64"}.get(str(kind), str(kind))
    return {"dtype": name, "_type": "Value"}


def arrow_schema() -> pa.Schema:
    """Return the schema of a stored `EditSample`, with metadata for images in `datasets`."""
    features = {name: _feature(kind) for name, kind in _COLUMNS.items()}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    return pa.schema(list(_COLUMNS.items()), metadata=metadata)


def to_row(sample: EditSample) -> dict[str, Json]:
    """Convert a sample to a row of `arrow_schema`."""
    row: dict[str, Json] = {name: getattr(sample, name) for name in _COLUMNS}
    for name in ("source", "target", "mask"):
        image: Image | None = row[name]
        row[name] = None if image is None else {"bytes": image.bytes, "path": image.path}
    row["edit_type"] = None if sample.edit_type is None else sample.edit_type.value
    row["scores"] = [_score_row(name, score) for name, score in sorted(sample.scores.items())]
    row["provenance"] = _provenance_row(sample.provenance)
    return row


def from_row(row: Mapping[str, Json]) -> EditSample:
    """Convert a row that `to_row` made back to the sample."""
    fields = {name: row[name] for name in _COLUMNS}
    for name in ("source", "target", "mask"):
        image = fields[name]
        fields[name] = None if image is None else Image(image["bytes"], image["path"])
    fields["edit_type"] = None if row["edit_type"] is None else EditType(row["edit_type"])
    fields["scores"] = {item["name"]: _score(item) for item in row["scores"] or ()}
    made = row["provenance"]
    fields["provenance"] = (
        None
        if made is None
        else Provenance(**{**made, "parameters": json.loads(made["parameters"])})
    )
    return EditSample(**fields)


def _score_row(name: str, score: Score | Unscored) -> dict[str, Json]:
    if isinstance(score, Unscored):
        return {"name": name, "reason": score.reason, "version": score.version}
    return {
        "name": name,
        "value": score.value,
        "passed": score.passed,
        "text": score.text,
        "version": score.version,
    }


def _score(item: Mapping[str, Json]) -> Score | Unscored:
    if item["reason"] is not None:
        return Unscored(item["reason"], item["version"])
    return Score(item["value"], item["passed"], item["text"], item["version"])


def _provenance_row(made: Provenance | None) -> dict[str, Json] | None:
    if made is None:
        return None
    return {
        "generator": made.generator,
        "revision": made.revision,
        "seed": made.seed,
        "parameters": canonical_json(dict(made.parameters)),
        "licence": made.licence,
        "source_uri": made.source_uri,
    }


def published_files(data: Path, split: str) -> list[Path]:
    """Return the Parquet files of a published split, in order; StoreError if any is missing."""
    ours = re.compile(rf"{re.escape(split)}-\d{{5}}-of-\d{{5}}\.parquet")
    paths = sorted(path for path in data.glob("*.parquet") if ours.fullmatch(path.name))
    total = len(paths)
    expected = [f"{split}-{index:05d}-of-{total:05d}.parquet" for index in range(total)]
    if not paths or [path.name for path in paths] != expected:
        others = {path.name.rsplit("-", 3)[0] for path in data.glob("*-*-of-*.parquet")} - {split}
        known = f"use a split that exists ({', '.join(sorted(others))}), or " if others else ""
        raise StoreError(
            f"the data set has no complete split {split!r}",
            value=data,
            fix=f"{known}build it first: `editloop run RECIPE --only build`",
        )
    return paths


def read_samples(data: Path, split: str) -> Iterator[EditSample]:
    """Yield a published split's samples in order; raises CorruptError if a page checksum fails."""
    for path in published_files(Path(data), split):
        yield from map(from_row, read_rows(path, what="a data set"))
