"""The record types of the whole loop.

One type per concept, frozen and slotted. `EditSample` is stored, with pictures as encoded bytes.
Editors, metrics and judges work on `EditRequest` and `EditedPair`, whose pictures are pixels,
decoded once.
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
Json: TypeAlias = Any  # any value that json.dumps accepts

PERSPECTIVES = ("following", "preserving", "quality")
# The default scales of a judge, (lowest score, highest score).
OUT_OF_FIVE: Mapping[str, tuple[float, float]] = MappingProxyType(
    dict.fromkeys(PERSPECTIVES, (0.0, 5.0))
)
CLEAN_TEXT = "None"  # the text for "nothing is wrong" (Multi-Reward paper, section 6.1)


def canonical_json(value: Json) -> str:
    """Return JSON with sorted keys and no spaces; equal values give identical text."""
    return json.dumps(
        value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False
    )


def readable_json(value: Json) -> bytes:
    """Return indented JSON with sorted keys, in UTF-8; equal values give equal bytes."""
    text = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return f"{text}\n".encode()


class EditType(StrEnum):
    """The seven edit types of Real-Edit (Multi-Reward paper, section 5)."""

    LOCAL = "local"
    REMOVE = "remove"
    ADD = "add"
    TEXTURE = "texture"
    BACKGROUND = "background"
    GLOBAL = "global"
    STYLE = "style"


@dataclass(frozen=True, slots=True)
class Image:
    """A stored picture: encoded bytes and the original file name."""

    bytes: bytes
    path: str | None = None


@dataclass(frozen=True, slots=True)
class Score:
    """A score: a value (0 to 5 for rewards), optionally passed or not, and a text."""

    value: float
    passed: bool | None = None
    text: str | None = None
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Unscored:
    """The reason why there is no score."""

    reason: str
    version: str | None = None


Verdict: TypeAlias = Mapping[str, Score | Unscored]  # by perspective or metric name


@dataclass(frozen=True, slots=True)
class Provenance:
    """The origin of a sample and how it was made; `parameters` can be encoded as JSON."""

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
    """The captions of the picture before and after the edit."""

    source: str | None = None
    target: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class EditRequest:
    """A request to an editor: pixels, an instruction and, optionally, a mask of where to edit.

    `settings` are the protocol's defaults, overridden by the editor's own settings. In a session,
    the image is the previous turn's true target if `setting` is "independent", or the editor's own
    result of it if "iterative"; the first turn is the same in both.

    `provenance` records how the benchmark made the case. Only an editor that replays records (the
    darkroom, as the known truth) may read it.
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
    """The reason why an editor returned no picture."""

    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class EditedPair:
    """The input of metrics and judges; all pictures have the same size, with two exceptions.

    `edited` may have any size if it was made elsewhere, and a picture that no metric `needs` may be
    empty, [0, 0, 3]. `group` is the data set's own edit category.
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
    """The interface of editors; the result of a request has the size of its image."""

    @property
    def name(self) -> str: ...

    @property
    def fingerprint(self) -> str:
        """A string that changes exactly when the editor's results may change."""
        ...

    def edit(self, requests: Sequence[EditRequest]) -> list[Pixels | Unedited]: ...


class Metric(Protocol):
    """The interface of metrics; `needs` names the fields of EditedPair that one reads."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    @property
    def needs(self) -> frozenset[str]: ...

    def measure(self, batch: Sequence[EditedPair]) -> list[Score | Unscored]: ...


class Judge(Protocol):
    """The interface of judges: one verdict per pair, with an entry for each perspective.

    A judge may also have `scales` (lowest and highest score by perspective, like `OUT_OF_FIVE`);
    its scores are then never read on another scale.
    """

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    @property
    def perspectives(self) -> tuple[str, ...]: ...

    def judge(self, batch: Sequence[EditedPair]) -> list[Verdict]: ...
