"""The records that flow through the whole loop, and their Arrow schema.

One type per concept, frozen and slotted. `EditSample` is what is stored: its pictures are encoded
bytes. `EditRequest` and `EditedPair` are what editors, metrics and judges work on: their pictures
are pixels, decoded once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Protocol, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

__all__ = [
    "CLEAN_TEXT",
    "OUT_OF_FIVE",
    "PERSPECTIVES",
    "Captions",
    "EditRequest",
    "EditSample",
    "EditType",
    "EditedPair",
    "Editor",
    "Image",
    "Json",
    "Judge",
    "Mask",
    "Metric",
    "Pixels",
    "Provenance",
    "Score",
    "Unedited",
    "Unscored",
    "Verdict",
    "arrow_schema",
    "canonical_json",
    "from_row",
    "readable_json",
    "to_row",
]

Pixels: TypeAlias = NDArray[np.uint8]  # [height, width, 3], sRGB
Mask: TypeAlias = NDArray[np.uint8]  # [height, width], 255 where editing is allowed
Json: TypeAlias = Any  # what json.dumps takes

PERSPECTIVES = ("following", "preserving", "quality")
# Their scales, from the lowest score to the highest, where a judge has no others.
OUT_OF_FIVE: Mapping[str, tuple[float, float]] = MappingProxyType(
    dict.fromkeys(PERSPECTIVES, (0.0, 5.0))
)
CLEAN_TEXT = "None"  # says that nothing is wrong (Multi-Reward paper, section 6.1)


def canonical_json(value: Json) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text, byte for byte."""
    return json.dumps(
        value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False
    )


def readable_json(value: Json) -> bytes:
    """A JSON file for people and programs: sorted keys, a line each; equal values, equal bytes."""
    text = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return f"{text}\n".encode()


class EditType(StrEnum):
    """Real-Edit's seven kinds of edit (Multi-Reward paper, section 5)."""

    LOCAL = "local"
    REMOVE = "remove"
    ADD = "add"
    TEXTURE = "texture"
    BACKGROUND = "background"
    GLOBAL = "global"
    STYLE = "style"


@dataclass(frozen=True, slots=True)
class Image:
    """A picture as stored: encoded bytes and the name it came under."""

    bytes: bytes
    path: str | None = None


@dataclass(frozen=True, slots=True)
class Score:
    """A judgement that was made: a value (0-5 for rewards), yes or no, and words."""

    value: float
    passed: bool | None = None
    text: str | None = None
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Unscored:
    """A judgement that could not be made, and why."""

    reason: str
    version: str | None = None


Verdict: TypeAlias = Mapping[str, Score | Unscored]  # by perspective or metric name


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a sample comes from and how it was made; `parameters` is JSON-able."""

    generator: str
    revision: str
    seed: int | None = None
    parameters: Mapping[str, Json] = field(default_factory=dict)
    licence: str | None = None
    source_uri: str | None = None


@dataclass(frozen=True, slots=True)
class EditSample:
    """One edit: a source picture, an instruction, and (where known) its target and region.

    `scores` holds rewards by name: following, preserving, quality, and any metric's.
    """

    id: str
    source: Image
    instruction: str = ""
    target: Image | None = None
    mask: Image | None = None
    edit_type: EditType | None = None
    edit_object: str | None = None
    source_caption: str | None = None
    target_caption: str | None = None
    inverse_instruction: str | None = None
    session: str | None = None
    turn: int = 1
    parent_id: str | None = None
    scores: Verdict = field(default_factory=dict)
    provenance: Provenance | None = None


@dataclass(frozen=True, slots=True)
class Captions:
    """What the picture shows before and after the edit."""

    source: str | None = None
    target: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class EditRequest:
    """What an editor is asked: pixels, an instruction and, optionally, where to edit.

    `settings` are the protocol's, for what the editor's own settings leave open. In a session,
    `setting` says what the image is: the truth of the turn before ("independent") or the editor's
    own picture of it ("iterative"); the first turn is the same in both.

    `provenance` is the record of how the benchmark made the case. Only an editor that replays
    records (the darkroom, as the known truth) may read it.
    """

    id: str
    image: Pixels
    instruction: str
    turn: int = 1
    captions: Captions = Captions()
    mask: Mask | None = None
    seed: int = 0
    settings: Mapping[str, Json] = field(default_factory=dict)
    session: str | None = None
    setting: str = "independent"
    provenance: Provenance | None = None


@dataclass(frozen=True, slots=True)
class Unedited:
    """An editor's answer when it made no picture, and why."""

    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class EditedPair:
    """What metrics and judges see: all pictures share one geometry.

    Except that `edited` may have any size where it was made elsewhere, and that a picture which no
    measure `needs` may be left empty, [0, 0, 3]. `group` is the data set's own kind of
    edit.
    """

    id: str
    source: Pixels
    instruction: str
    edited: Pixels
    target: Pixels | None = None
    mask: Mask | None = None
    captions: Captions = Captions()
    edit_type: EditType | None = None
    group: str | None = None


class Editor(Protocol):
    """One face for every editor; the answer to a request has the size of its image."""

    @property
    def name(self) -> str: ...

    @property
    def fingerprint(self) -> str:
        """Changes when, and only when, the editor's answers may change."""
        ...

    def edit(self, requests: Sequence[EditRequest]) -> list[Pixels | Unedited]: ...


class Metric(Protocol):
    """A measure of edited pairs; `needs` names the fields of EditedPair it reads."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    @property
    def needs(self) -> frozenset[str]: ...

    def measure(self, batch: Sequence[EditedPair]) -> list[Score | Unscored]: ...


class Judge(Protocol):
    """A judge of edited pairs, one verdict a pair with an entry for each perspective.

    One that also has `scales` (the lowest and highest score by perspective, as `OUT_OF_FIVE`) is
    kept from being read on another scale.
    """

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    @property
    def perspectives(self) -> tuple[str, ...]: ...

    def judge(self, batch: Sequence[EditedPair]) -> list[Verdict]: ...


# The stored form. `datasets` knows no Arrow map, so scores are a list of named structs: still one
# fixed type, and judging still adds no column.

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
    """The Hugging Face `features` description of an Arrow type."""
    if kind == _IMAGE:
        return {"_type": "Image"}
    if pa.types.is_list(kind):
        return {"feature": _feature(kind.value_type), "_type": "List"}
    if pa.types.is_struct(kind):
        return {item.name: _feature(item.type) for item in kind}
    name = {"double": "float64"}.get(str(kind), str(kind))
    return {"dtype": name, "_type": "Value"}


def arrow_schema() -> pa.Schema:
    """The schema of a stored `EditSample`, with the metadata by which `datasets` sees images."""
    features = {name: _feature(kind) for name, kind in _COLUMNS.items()}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    return pa.schema(list(_COLUMNS.items()), metadata=metadata)


def to_row(sample: EditSample) -> dict[str, Json]:
    """A sample as the row that `arrow_schema` stores."""
    row: dict[str, Json] = {name: getattr(sample, name) for name in _COLUMNS}
    for name in ("source", "target", "mask"):
        image: Image | None = row[name]
        row[name] = None if image is None else {"bytes": image.bytes, "path": image.path}
    row["edit_type"] = None if sample.edit_type is None else sample.edit_type.value
    row["scores"] = [_score_row(name, score) for name, score in sorted(sample.scores.items())]
    row["provenance"] = _provenance_row(sample.provenance)
    return row


def from_row(row: Mapping[str, Json]) -> EditSample:
    """The sample that `to_row` stored."""
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
