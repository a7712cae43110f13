"""Builds a data set: sources into shards, shards through segments of steps, commits into a set.

Killed at any moment, the same call goes on where it stopped and ends with the same bytes. What can
change the result is claimed for the folder; workers and deadlines cannot.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from editloop.driver import Committed, Driver, Progress, Work
from editloop.engines import DEADLINE, Engine, InProcessEngine, LocalProcessEngine
from editloop.errors import RecipeError, StoreError
from editloop.files import Files, explained
from editloop.locks import lock
from editloop.plan import Plan, load_plan, make_plan
from editloop.publication import Manifest, find_manifest
from editloop.publish import publish_set
from editloop.records import fingerprint, read_record, write_record
from editloop.schema import Json
from editloop.segments import PartSpec, Segment, forget_parts
from editloop.stages import check_step
from editloop.steps import FailureClass, Source, Step
from editloop.versions import claim_version, part_folder, retire_versions, work_folder

__all__ = ["BuildReport", "Options", "PartSpec", "Progress", "Retried", "build", "retry"]

_PART = "build"


@dataclass(frozen=True, slots=True)
class Options:
    """How a build runs; nothing here changes its result.

    `workers` 0 runs everything in this process, where a record that kills its worker kills the
    build. A task that takes longer than `deadline` seconds counts as hung. `progress` is called
    after each commit.
    """

    workers: int = 1
    deadline: float = DEADLINE
    progress: Callable[[Progress], None] | None = None
    files: Files = field(default_factory=Files)

    def engine(self) -> Engine:
        """The engine that these options ask for."""
        if self.workers == 0:
            return InProcessEngine()
        return LocalProcessEngine(self.workers, deadline=self.deadline)


@dataclass(frozen=True, slots=True)
class BuildReport:
    """What was built: counts for `results.json`, a fingerprint of the published bytes, and times.

    `counts` has in, out, dropped, quarantined, `inputs` (how each input ended), `by_step` (drops
    by reason, failures by code) and the same for each of `splits`.
    """

    counts: Mapping[str, Json]
    fingerprint: str
    timings: Mapping[str, Json]


class Retried(NamedTuple):
    """How many quarantined rows were tried again, and how many fewer there are now."""

    tried: int
    passed: int


def build(
    sources: Sequence[PartSpec],
    steps: Sequence[PartSpec],
    *,
    out: Path,
    seed: int = 0,
    shard_size: int = 64,
    new_version: bool = False,
    options: Options | None = None,
) -> BuildReport:
    """Build a data set in the run folder `out`, or go on with one, and publish it.

    `shard_size` counts inputs (at most 512). Raises ChangedError where the folder holds another
    version, BusyError where another process builds in it, StoreError where the disk refuses,
    StepError where a step broke its contract for good, UnavailableError where it lacks something.
    """
    if not 1 <= shard_size <= 512:
        raise RecipeError("a shard has 1 to 512 inputs", value=shard_size, fix="set shard_size")
    parts = _Parts(tuple(sources), tuple(steps), seed, shard_size)
    options = options or Options()
    with lock(out, _PART):
        folder = part_folder(out, _PART)
        plan = make_plan(parts.made_sources(), folder, shard_size, options.files)
        job = _Job(out, parts, plan, options)
        job.claim(new_version)
        return job.run()


def retry(
    out: Path, failure: FailureClass | str = FailureClass.TRANSIENT, options: Options | None = None
) -> Retried:
    """Run again what the last build quarantined under one class, and publish the set anew."""
    again = FailureClass(failure)
    options = options or Options()
    with lock(out, _PART):
        body = read_record(options.files, part_folder(out, _PART) / "parts.json")
        before = find_manifest(out, "data", files=options.files)
        if body is None or before is None:
            raise StoreError("there is no finished build to retry", value=out, fix="build it first")
        parts = _Parts.from_json(body)
        plan = load_plan(part_folder(out, _PART) / body["plan"], options.files)
        job = _Job(out, parts, plan, options)
        job.claim(new_version=False)
        tried = before.facts["classes"].get(again.value, 0)
        if not tried:
            return Retried(0, 0)
        after = job.run(again).counts
        return Retried(tried, max(0, before.facts["quarantined"] - after["quarantined"]))


@dataclass(frozen=True, slots=True)
class _Parts:
    """A recipe's share in a build: what can change its result."""

    sources: tuple[PartSpec, ...]
    steps: tuple[PartSpec, ...]
    seed: int
    shard_size: int

    @classmethod
    def from_json(cls, body: Json) -> _Parts:
        sources, steps = (
            tuple(PartSpec(**spec) for spec in body[key]) for key in ("sources", "steps")
        )
        return cls(sources, steps, body["seed"], body["shard_size"])

    def to_json(self, plan: Plan) -> Json:
        """What `retry` needs to make the parts again."""
        return {**asdict(self), "plan": plan.path.name}

    def made_sources(self) -> dict[str, Source]:
        return {spec.name: spec.create() for spec in self.sources}

    def settings(self, plan: Plan) -> dict[str, Json]:
        """What the folder is claimed with."""
        return {
            "seed": self.seed,
            "shard_size": self.shard_size,
            "sources": {spec.name: _described(spec, spec.create()) for spec in self.sources},
            "steps": {spec.name: _described(spec, spec.create()) for spec in self.steps},
            "order": [spec.name for spec in self.steps],
            "inputs": plan.inputs,
        }
