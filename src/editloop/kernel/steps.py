"""What a build or judge step is: it answers every sample with keep, drop or fail.

The pipeline runs steps, shards their input, commits their output and accounts for every id. A step
only knows one batch. Its answers depend on nothing but its settings, the seed and the batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol, TypeAlias

from editloop.errors import FailureClass
from editloop.schema import EditSample, Json

__all__ = [
    "Drop",
    "Fail",
    "Keep",
    "Outcome",
    "Resource",
    "Source",
    "SourceItem",
    "Step",
    "StepContext",
]


class Resource(StrEnum):
    """What a step mainly uses; consecutive steps of one resource share a segment."""

    CPU = "cpu"
    GPU = "gpu"
    NETWORK = "network"


@dataclass(frozen=True, slots=True)
class Keep:
    """The input goes on as these samples; each gets the input's id as `parent_id` if it is new."""

    samples: tuple[EditSample, ...]


@dataclass(frozen=True, slots=True)
class Drop:
    """The input is left out on purpose, for a reason that is counted."""

    reason: str


@dataclass(frozen=True, slots=True)
class Fail:
    """The input could not be processed and goes to quarantine."""

    code: str
    failure: FailureClass
    message: str


Outcome: TypeAlias = Keep | Drop | Fail


@dataclass(frozen=True, slots=True)
class StepContext:
    """What a step may know of its run: the recipe's seed, the split, and a cache folder."""

    seed: int
    split: str
    cache: Path | None = None


class Step(Protocol):
    """One stage of a build; `parameters` (JSON) and `version` enter the fingerprint."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    @property
    def parameters(self) -> Mapping[str, Json]: ...

    @property
    def needs(self) -> frozenset[str]:
        """The `EditSample` fields that must not be None in its input."""
        ...

    @property
    def adds(self) -> frozenset[str]:
        """The `EditSample` fields that are not None in its output."""
        ...

    @property
    def resource(self) -> Resource: ...

    def setup(self, context: StepContext) -> None:
        """Called once in a worker, before the first batch."""
        ...

    def process(self, batch: Sequence[EditSample]) -> list[Outcome]:
        """One outcome for each sample, in order."""
        ...


@dataclass(frozen=True, slots=True)
class SourceItem:
    """One picture to come, cheap to list: nothing is decoded yet. `parameters` is JSON-able."""

    id: str
    split: str
    uri: str
    parameters: Mapping[str, Json] = field(default_factory=dict)


class Source(Protocol):
    """Where pictures come in: it lists items cheaply, in a fixed order, and loads them in batches.

    `load` answers with Keep of one sample of the item's id (source picture, captions, provenance),
    or Fail under the picture's own error code.
    """

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    @property
    def parameters(self) -> Mapping[str, Json]: ...

    def items(self) -> Iterator[SourceItem]: ...

    def load(self, items: Sequence[SourceItem]) -> list[Outcome]: ...
