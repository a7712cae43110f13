"""Stored samples: their Arrow schema and rows, and reading of a published split."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow as pa

from editloop.errors import CorruptError, StoreError
from editloop.schema import (
    Attempt,
    Cause,
    EditOutcome,
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

__all__ = [
    "IMAGE",
    "arrow_schema",
    "attempt_row",
    "attempts_of",
    "attempts_schema",
    "featured_schema",
    "from_row",
    "published_files",
    "read_attempts",
    "read_samples",
    "required_columns",
    "split_names",
    "to_row",
]


# `datasets` does not support Arrow maps, so scores are a list of named structs. The type is fixed,
# and judging adds no column.

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


_SCORE = pa.struct(
    [
        ("name", pa.string()),
        ("value", pa.float64()),
        ("passed", pa.bool_()),
        ("text", pa.string()),
        ("reason", pa.string()),
        ("version", pa.string()),
        ("cause", pa.string()),
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
    "source": IMAGE,
    "instruction": pa.string(),
    "target": IMAGE,
    "mask": IMAGE,
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
    "references": pa.list_(IMAGE),
}
_ADDED = {"references"}  # columns that data sets made by version 0.1 lack
_ATTEMPT = {
    "outcome": pa.string(),
    "chosen": pa.bool_(),
    "attempt": pa.int32(),
    "cost": pa.float64(),
    "reason": pa.string(),
}
_ATTEMPTS = "attempts-"  # before a split's name: the files of its attempts
_FILE = re.compile(r"(?P<split>.+)-\d{5}-of-\d{5}\.parquet")


def _feature(kind: pa.DataType) -> Json:
    """Return the Hugging Face `features` description of an Arrow type."""
    if kind == IMAGE:
        return {"_type": "Image"}
    if pa.types.is_list(kind):
        return {"feature": _feature(kind.value_type), "_type": "List"}
    if pa.types.is_struct(kind):
        return {item.name: _feature(item.type) for item in kind}
    name = {"double": "float64"}.get(str(kind), str(kind))
    return {"dtype": name, "_type": "Value"}


def arrow_schema() -> pa.Schema:
    """Return the schema of a stored `EditSample`, with metadata for images in `datasets`."""
    return featured_schema(_COLUMNS)


def attempts_schema() -> pa.Schema:
    """Return the schema of a stored `Attempt`: a sample's columns and the attempt's own."""
    return featured_schema({**_COLUMNS, **_ATTEMPT})


def required_columns() -> tuple[str, ...]:
    """Return the columns that every stored data set has, whichever version made it."""
    return tuple(name for name in _COLUMNS if name not in _ADDED)


def featured_schema(columns: Mapping[str, pa.DataType]) -> pa.Schema:
    """Return a schema with metadata for images in `datasets`."""
    features = {name: _feature(kind) for name, kind in columns.items()}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    return pa.schema(list(columns.items()), metadata=metadata)


def to_row(sample: EditSample) -> dict[str, Json]:
    """Convert a sample to a row of `arrow_schema`; columns added later are omitted if empty."""
    row: dict[str, Json] = {name: getattr(sample, name) for name in required_columns()}
    for name in ("source", "target", "mask"):
        row[name] = None if row[name] is None else _image_row(row[name])
    if sample.references:
        row["references"] = list(map(_image_row, sample.references))
    row["edit_type"] = None if sample.edit_type is None else sample.edit_type.value
    row["scores"] = [_score_row(name, score) for name, score in sorted(sample.scores.items())]
    row["provenance"] = _provenance_row(sample.provenance)
    return row


def from_row(row: Mapping[str, Json]) -> EditSample:
    """Convert a row that `to_row` made back to the sample."""
    fields = {name: row[name] for name in required_columns()}
    for name in ("source", "target", "mask"):
        image = fields[name]
        fields[name] = None if image is None else _image(image)
    fields["edit_type"] = None if row["edit_type"] is None else EditType(row["edit_type"])
    fields["scores"] = {item["name"]: _score(item) for item in row["scores"] or ()}
    made = row["provenance"]
    fields["provenance"] = (
        None
        if made is None
        else Provenance(**{**made, "parameters": json.loads(made["parameters"])})
    )
    further = row.get("references") or ()
    fields["references"] = tuple(map(_image, further))
    return EditSample(**fields)


def attempt_row(attempt: Attempt) -> dict[str, Json]:
    """Convert an attempt to a row of `attempts_schema`."""
    return {
        **to_row(attempt.sample),
        "outcome": attempt.outcome.value,
        "chosen": attempt.chosen,
        "attempt": attempt.number,
        "cost": attempt.cost,
        "reason": attempt.reason,
    }


def _attempt(row: Mapping[str, Json]) -> Attempt:
    return Attempt(
        from_row(row),
        EditOutcome(row["outcome"]),
        number=row["attempt"],
        chosen=row["chosen"],
        cost=row["cost"],
        reason=row["reason"],
    )


def _image(stored: Mapping[str, Json]) -> Image:
    if stored["bytes"] is None:  # `datasets` would read the file at `path`, which may be any
        raise CorruptError(
            "a stored picture has no bytes, and its path is not followed",
            value=repr(stored["path"]),
            fix="store the picture itself, or build the data again",
        )
    return Image(stored["bytes"], stored["path"])


def _image_row(image: Image) -> dict[str, Json]:
    return {"bytes": image.bytes, "path": image.path}


def _score_row(name: str, score: Score | Unscored) -> dict[str, Json]:
    if isinstance(score, Unscored):
        row = {"name": name, "reason": score.reason, "version": score.version}
        stated = score.cause is not Cause.UNSTATED
        return {**row, "cause": score.cause.value} if stated else row
    return {
        "name": name,
        "value": score.value,
        "passed": score.passed,
        "text": score.text,
        "version": score.version,
    }


def _score(item: Mapping[str, Json]) -> Score | Unscored:
    if item["reason"] is not None:
        cause = item.get("cause")
        return Unscored(item["reason"], item["version"], Cause(cause or Cause.UNSTATED))
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


def split_names(data: Path) -> list[str]:
    """Return the sorted names of the splits in a data folder, without files of attempts."""
    found = (_FILE.fullmatch(path.name) for path in data.glob("*.parquet"))
    names = {match["split"] for match in found if match}
    return sorted(name for name in names if not name.startswith(_ATTEMPTS))


def attempts_of(split: str) -> str:
    """Return the name under which a split's attempts are published."""
    return f"{_ATTEMPTS}{split}"


def published_files(data: Path, split: str) -> list[Path]:
    """Return the Parquet files of a published split, in order; StoreError if any is missing."""
    ours = re.compile(rf"{re.escape(split)}-\d{{5}}-of-\d{{5}}\.parquet")
    paths = sorted(path for path in data.glob("*.parquet") if ours.fullmatch(path.name))
    total = len(paths)
    expected = [f"{split}-{index:05d}-of-{total:05d}.parquet" for index in range(total)]
    if not paths or [path.name for path in paths] != expected:
        others = [name for name in split_names(data) if name != split]
        known = f"use a split that exists ({', '.join(others)}), or " if others else ""
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


def read_attempts(data: Path, split: str) -> Iterator[Attempt]:
    """Stream the attempts of a split, if there are any; errors as of `read_samples`."""
    if any(Path(data).glob(f"{attempts_of(split)}-*.parquet")):
        for path in published_files(Path(data), attempts_of(split)):
            yield from map(_attempt, read_rows(path, what="a data set's attempts"))
