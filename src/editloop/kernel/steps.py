"""The interface of build and judge steps: each sample is answered with keep, drop or fail.

The pipeline runs steps, shards their input, commits their output and accounts for every id. A step
sees one batch at a time; its answers depend only on its settings, the seed and the batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeAlias

from editloop.errors import FailureClass
from editloop.schema import Attempt, EditSample, Json

__all__ = ["Drop", "Fail", "Keep", "Outcome", "Source", "SourceItem", "Step", "StepContext"]


@dataclass(frozen=True, slots=True)
class Keep:
    """The input continues as these samples; a new one gets the input's id as `parent_id`.

    `attempts` are the candidates that were made on the way; a chosen one is among the samples.
    """

    samples: tuple[EditSample, ...]
    attempts: tuple[Attempt, ...] = ()


@dataclass(frozen=True, slots=True)
class Drop:
    """The input is left out on purpose, for a reason that is counted.

    `attempts` are the candidates that were made for it, none of them chosen. `detail` is what was
    found in this input, such as the measured value; it is stored beside the reason.
    """

    reason: str
    attempts: tuple[Attempt, ...] = ()
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Fail:
    """The input could not be processed and goes to quarantine.

    `code` is the machine-readable cause. `reply_key` is the ledger's key of the reply on which it
    failed, if it failed on one.
    """

    code: str
    failure: FailureClass
    message: str
    reply_key: str | None = None


Outcome: TypeAlias = Keep | Drop | Fail


class StepContext:
    """The facts of a run that a step may use: seed, split, a cache folder, a device.

    A step is set up once per worker. One that reads `split` is set up once for each split.
    `device` is where the step's networks run: `cpu`, or the worker's own, such as `cuda`.
    """

    def __init__(
        self, seed: int, split: str, cache: Path | None = None, device: str = "cpu"
    ) -> None:
        self.seed = seed
        self.cache = cache
        self.device = device
        self.split_was_read = False
        self._split = split

    @property
    def split(self) -> str:
        """The split of the samples that the step processes."""
        self.split_was_read = True
        return self._split


class Step(Protocol):
    """One stage of a build; `parameters` (JSON) and `version` enter the fingerprint.

    A step may also have: `resources` (a `Resources`; one core if it has none); `deadline`, the
    seconds that one input may take at most (else the build's), after which its worker is considered
    hung; `close()`, called once when its worker ends; `group(sample)`, which names the sample's
    group, so that `process` gets whole groups. `sample_steps` has bases with all of this.
    """

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    @property
    def parameters(self) -> Mapping[str, Json]: ...

    @property
    def needs(self) -> frozenset[str]:
        """The `EditSample` fields that must not be None in the step's input."""
        ...

    @property
    def adds(self) -> frozenset[str]:
        """The `EditSample` fields that are never None in the step's output."""
        ...

    def setup(self, context: StepContext) -> None:
        """Prepare the step; called once per worker, before the first batch."""
        ...

    def process(self, batch: Sequence[EditSample]) -> list[Outcome]:
        """Return one outcome for each sample, in order."""
        ...


@dataclass(frozen=True, slots=True)
class SourceItem:
    """One picture of a source, not decoded yet. `parameters` can be encoded as JSON."""

    id: str
    split: str
    uri: str
    parameters: Mapping[str, Json] = field(default_factory=dict)


class Source(Protocol):
    """A source of pictures: it lists items cheaply, in a fixed order, and loads them in batches.

    `load` returns Keep with one sample that has the item's id (source picture, captions,
    provenance), or Fail with the picture's error code. A source may also have `resources`,
    `deadline` and `close()`, as a step.
    """

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    @property
    def parameters(self) -> Mapping[str, Json]: ...

    def items(self) -> Iterator[SourceItem]: ...

    def load(self, items: Sequence[SourceItem]) -> list[Outcome]: ...
