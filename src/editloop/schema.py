"""The records that flow through the whole loop.

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
    "canonical_json",
    "readable_json",
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
