"""Drives shards through their segments: what is committed is skipped, the rest is run and resumed.

The driver holds names and generations, never rows. It keeps the engine full and no fuller, and
finishes a shard that it began before it begins another.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from editloop.engines import Ended, Engine, Task
from editloop.errors import FailureClass
from editloop.plan import Plan, ShardRef
from editloop.segments import run_shard
from editloop.steps import StepContext
from editloop.storage.commits import ShardKey
from editloop.storage.files import Files
from editloop.storage.shards import ShardStore
from editloop.suspects import Suspects
from editloop.tasks import Segment, ShardTask

__all__ = ["Committed", "Driver", "Progress", "Work"]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a build is: segments of shards done and in all, samples made since it started."""

    done: int
    total: int
    samples: int


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be made: a plan's shards, each through the segments of its source's chain."""

    plan: Plan
    chains: Sequence[Sequence[Segment]]  # by the source's index
    seed: int
    cache: Path
    files: Files

    @property
    def segments(self) -> list[Segment]:
        return [segment for chain in self.chains for segment in chain]


class Committed:
    """What is committed of a work's segments, known by one listing a segment."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._stores = {item.folder: ShardStore(item.folder, work.files) for item in work.segments}
        self._keys = {folder: store.keys() for folder, store in self._stores.items()}
        self._newest: dict[tuple[Path, str, str], int] = {}
        for folder, keys in self._keys.items():
            for key in keys:
                self._note(folder, key)

    def _note(self, folder: Path, key: ShardKey) -> None:
        at = folder, key.shard, key.fingerprint
        self._newest[at] = max(self._newest.get(at, 0), key.generation)

    @property
    def last_round(self) -> int:
        """The highest generation of all."""
        return max(self._newest.values(), default=0)

    def generation(self, segment: Segment, shard: ShardRef) -> int | None:
        """The newest generation, or None where nothing is committed."""
        return self._newest.get((segment.folder, shard.name, shard.fingerprint))

    def add(self, task: ShardTask) -> None:
        """Note a commit that was just made."""
        folder = task.segment.folder
        key = ShardKey(task.shard.name, task.shard.fingerprint, task.generation)
        self._keys[folder].add(key)
        self._note(folder, key)

    def failed(self, segment: Segment, shard: ShardRef, again: FailureClass) -> bool:
        """Whether the newest commit holds a row that was quarantined under this class."""
        store, key = self.at(segment, shard)
        commit = store.find(key.shard, key.fingerprint, key.generation)
        return commit is not None and again.value in commit.facts["by_class"]

    def at(self, segment: Segment, shard: ShardRef) -> tuple[ShardStore, ShardKey]:
        """Where the newest commit is."""
        generation = self.generation(segment, shard) or 0
        key = ShardKey(shard.name, shard.fingerprint, generation)
        return self._stores[segment.folder], key

    def digest(self) -> str:
        """A fingerprint of which commits make up the whole plan."""
        keys = hashlib.sha256()
        for shard in self._work.plan.shards:
            for store, key in self.chain(shard):
                keys.update(f"{store.folder.name}/{key}\n".encode())
        return keys.hexdigest()[:16]

    def sweep_orphans(self) -> None:
        """Remove what interrupted commits left."""
        for store in self._stores.values():
            store.sweep()

    def sweep(self) -> None:
        """Remove every commit that is no part of the plan, or was replaced."""
        kept: dict[Path, set[ShardKey]] = {folder: set() for folder in self._stores}
        for shard in self._work.plan.shards:
            for store, key in self.chain(shard):
                kept[store.folder].add(key)
        for folder, keys in kept.items():
            if keys != self._keys[folder]:
                self._stores[folder].sweep(frozenset(keys))

    def chain(self, shard: ShardRef) -> list[tuple[ShardStore, ShardKey]]:
        """Where a shard's commits are, segment by segment."""
        return [self.at(segment, shard) for segment in self._work.chains[shard.source]]


class Driver:
    """One run over a plan; `again` re-runs what was quarantined under this class as well."""

    def __init__(
        self,
        work: Work,
        committed: Committed,
        report: Callable[[Progress], None],
        again: FailureClass | None = None,
    ) -> None:
        self.seconds: dict[str, float] = {}
        self.ran = 0
        self._work = work
        self._committed = committed
        self._report = report
        self._again = again
        self._round = committed.last_round + 1
        self._suspects = Suspects()
        self._done = 0
        self._samples = 0
        self._total = sum(len(work.chains[shard.source]) for shard in work.plan.shards)

    def run(self, engine: Engine) -> None:
        """Run everything that is not committed. Raises what a task raised, or StepError."""
        begun: deque[ShardTask] = deque()
        rest = self._first_tasks()
        running = 0
        while True:
            while running < engine.capacity:
                task = begun.popleft() if begun else next(rest, None)
                if task is None:
                    break
                engine.submit(Task(run_shard, task))
                running += 1
            if not running:
                break
            for ended in engine.wait():
                running -= 1
                begun.extend(self._after(ended))
        self._tell()

    def _first_tasks(self) -> Iterator[ShardTask]:
        """The first thing to do for each shard, split by split: a worker sets steps up by split."""
        for split in self._work.plan.splits:
            for shard in self._work.plan.of_split(split):
                task = self._next_task(shard, 0)
                if task is not None:
                    yield task

    def _next_task(self, shard: ShardRef, start: int) -> ShardTask | None:
        """The first segment of a shard, from `start` on, that is not up to date."""
        chain = self._work.chains[shard.source]
        for index in range(start, len(chain)):
            above = None if index == 0 else self._committed.generation(chain[index - 1], shard)
            task = self._task(shard, chain[index], above or 0)
            if task is not None:
                return task
            self._done += 1
        return None

    def _task(self, shard: ShardRef, segment: Segment, above: int) -> ShardTask | None:
        own = self._committed.generation(segment, shard)
        again = self._again
        current = own is not None and above <= own
        if current and not (again and self._committed.failed(segment, shard, again)):
            return None
        return ShardTask(
            segment,
            shard,
            self._work.plan.path,
            StepContext(self._work.seed, shard.split, self._work.cache),
            self._work.files,
            generation=above if own is None else max(above, self._round),
            upstream_generation=above,
            previous=own,
            again=None if again is None else again.value,
        )

    def _after(self, ended: Ended[ShardTask]) -> list[ShardTask]:
        """What follows from the end of a task."""
        if ended.error is not None:
            raise ended.error
        task = ended.task.descriptor
        more = self._suspects.next_tasks(task, ended.loss)
        if more or ended.loss is not None or task.row is not None:
            return more
        self._committed.add(task)
        self._count(ended)
        chain = self._work.chains[task.shard.source]
        following = self._next_task(task.shard, chain.index(task.segment) + 1)
        return [] if following is None else [following]

    def _count(self, ended: Ended[ShardTask]) -> None:
        self.ran += 1
        self._done += 1
        self._samples += ended.value.samples
        for step, seconds in ended.value.seconds.items():
            self.seconds[step] = self.seconds.get(step, 0.0) + seconds
        self._tell()

    def _tell(self) -> None:
        self._report(Progress(self._done, self._total, self._samples))
