"""Messages between driver and workers: names and numbers, never pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from editloop.kernel.engines.base import Loss
from editloop.kernel.resources import CPU, Resources
from editloop.kernel.shard_plan import ShardRef
from editloop.registry import create
from editloop.schema import Json
from editloop.storage.files import Files

__all__ = ["Portion", "Segment", "ShardEnd", "ShardTask", "StepSpec", "rows_by_shard"]


@dataclass(frozen=True, slots=True)
class StepSpec:
    """The specification of a source or step: the arguments of `registry.create`, and a name."""

    group: str
    name: str
    kind: str
    settings: Mapping[str, Json] = field(default_factory=dict)

    def create(self) -> Any:
        """Return a new instance of the source or step."""
        return create(self.group, self.kind, self.settings, where=f"{self.group} {self.name}")


@dataclass(frozen=True, slots=True)
class Segment:
    """Consecutive steps with the same resources; the first segment of a chain loads its source.

    If it is `grouped`, its first step names groups of its inputs. A segment with `gathers` only
    writes down the groups that this step names; the segment after it has the folder of these as
    `index`, and takes its inputs from all shards (`gather`).
    """

    folder: Path
    steps: tuple[StepSpec, ...]
    resources: Resources = CPU
    grouped: bool = False
    source: StepSpec | None = None
    upstream: Path | None = None
    gathers: StepSpec | None = None
    index: Path | None = None

    @property
    def name(self) -> str:
        first = () if self.source is None else (self.source,)
        return "+".join(part.name for part in (*first, *self.steps))


@dataclass(frozen=True, slots=True)
class Portion:
    """The rows of a shard's data that go to a gathered shard, and the generations of both.

    `generation` is that of the data, `noted` that of the groups of its rows.
    """

    shard: ShardRef
    generation: int
    noted: int
    rows: tuple[int, ...]


def rows_by_shard(portions: Sequence[Portion]) -> list[list[Json]]:
    """Return the shards and rows of portions as JSON."""
    return [[each.shard.name, list(each.rows)] for each in portions]


@dataclass(frozen=True, slots=True)
class ShardTask:
    """The descriptor of one segment of one shard: names and numbers, never pictures.

    `previous` is the generation to continue from: its outcomes are kept, except for rows
    quarantined under the class `again`, and inputs it did not have are processed. With `unit`, only
    that input or group of inputs runs, without a commit, to test whether it kills the worker;
    `lost` lists those that do, and `single` makes every batch one input or group. `deadline` is the
    number of seconds that an input may take in a step that states none.
    """

    segment: Segment
    shard: ShardRef
    plan: Path
    seed: int
    cache: Path
    files: Files
    deadline: float
    generation: int = 0
    upstream_generation: int = 0
    previous: int | None = None
    again: str | None = None
    portions: tuple[Portion, ...] = ()
    unit: int | None = None
    lost: tuple[tuple[int, Loss], ...] = ()
    single: bool = False


@dataclass(frozen=True, slots=True)
class ShardEnd:
    """The result of a task: the number of samples committed, and seconds by step."""

    samples: int
    seconds: Mapping[str, float]
