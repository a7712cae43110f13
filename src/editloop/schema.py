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

from editloop.errors import FailureClass, StepError

__all__ = [
    "CLEAN_TEXT",
    "OUT_OF_FIVE",
    "PERSPECTIVES",
    "Attempt",
    "Captions",
    "Cause",
    "EditOutcome",
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


class Cause(StrEnum):
    """The machine-readable cause of a missing score; programs decide by it, never by its words."""

    MISSING_INPUT = "missing-input"  # the case lacks a picture, mask or text that is needed
    NOT_MEASURABLE = "not-measurable"  # such a case cannot be measured or judged in this way
    UNAVAILABLE = "unavailable"  # weights, a package or a judge are absent
    NO_ANSWER = "no-answer"  # the judge or file has no answer for this case
    REFUSED = "refused"  # a model or its content filter declined
    UNPARSEABLE = "unparseable"  # the answer could not be read
    OUT_OF_RANGE = "out-of-range"  # the answer is not on the scale
    FAILED = "failed"  # the call failed for good
    TRANSIENT = "transient"  # the call failed, and may pass when it is made again
    OVER_BUDGET = "over-budget"  # the budget had no room for the call
    UNSTATED = "unstated"  # stored before causes were, or by a judge that states none

    @property
    def may_pass_later(self) -> bool:
        """Return whether the same question may be answered when it is asked again."""
        return self in (Cause.TRANSIENT, Cause.OVER_BUDGET)


@dataclass(frozen=True, slots=True)
class Unscored:
    """A score that could not be given: the reason in words, and its cause for programs.

    `reply_key` finds the reply that could not be used in the ledger; it is not stored.
    """

    reason: str
    version: str | None = None
    cause: Cause = Cause.UNSTATED
    reply_key: str | None = field(default=None, compare=False)


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

    `source` is None only until a text-first sample has its pictures. `references` are further
    pictures that the instruction speaks of. `scores` holds rewards by name: following, preserving,
    quality, and any metric's.
    """

    id: str
    source: Image | None
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
    references: tuple[Image, ...] = ()

    @property
    def source_image(self) -> Image:
        """The source; StepError where the sample has no picture yet."""
        if self.source is None:
            raise StepError(
                "the sample has no source picture yet",
                value=self.id,
                fix="let the step that makes its pictures come first",
            )
        return self.source


class EditOutcome(StrEnum):
    """What a generator's picture turned out to be."""

    EDITED = "edited"
    UNCHANGED = "unchanged"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One candidate that was made for a source and an instruction.

    The chosen one is the sample that goes on; the others are its rejected siblings, each with an id
    of its own. `number` counts from 1; `cost` is in USD.
    """

    sample: EditSample
    outcome: EditOutcome
    number: int
    chosen: bool = False
    cost: float | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Captions:
    """The captions of the picture before and after the edit."""

    source: str | None = None
    target: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class EditRequest:
    """A request to an editor: pixels, an instruction and, optionally, a mask of where to edit.

    `settings` are the protocol's, if they are for the editor's `family`; the editor's own settings
    override them. In a session, the image is the previous turn's true target if `setting` is
    "independent", or the editor's own result of it if "iterative"; the first turn is the same in
    both. `fitted` marks an image that is the editor's own result at its working size, and is edited
    at that size; the mask is then that of the whole picture (see `editors.sessions`).

    `provenance` records how the benchmark made the case. Only an editor that replays records (the
    darkroom, as the known truth) may read it. `references` are further pictures that the
    instruction speaks of; only an editor with `uses_references` is asked for such an edit.
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
    fitted: bool = False
    provenance: Provenance | None = None
    references: tuple[Pixels, ...] = ()


@dataclass(frozen=True, slots=True)
class Unedited:
    """The reason why an editor returned no picture.

    With a `failure`, the picture could not be had, for the cause `code`; without one, the editor
    does not carry out the instruction. `reply_key` finds an unusable reply in the ledger.
    """

    reason: str
    code: str = ""
    failure: FailureClass | None = None
    reply_key: str | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, eq=False)
class EditedPair:
    """The input of metrics and judges; all pictures have the same size, with two exceptions.

    `edited` may have any size if it was made elsewhere or keeps its editor's working size, and a
    picture that no metric `needs` may be empty, [0, 0, 3]. `group` is the data set's own edit
    category.
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
