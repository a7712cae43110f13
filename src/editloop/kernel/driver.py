"""Scheduling of shards through their segments: committed work is skipped, the rest is run.

The driver holds names and generations, never rows. It submits as many tasks of each resource class
as the engine has free workers for, and continues started shards before it starts new ones: no more
shards are in flight than there are workers.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator

from editloop.errors import FailureClass, UnavailableError
from editloop.kernel.committed import Committed, Work
from editloop.kernel.engines.base import Ended, Engine, Loss, Task
from editloop.kernel.gather import Gathered
from editloop.kernel.lost_workers import Suspects
from editloop.kernel.progress import Progress
from editloop.kernel.resources import Resources
from editloop.kernel.shard_plan import ShardRef
from editloop.kernel.tasks import Portion, ShardEnd, ShardTask, rows_by_shard
from editloop.kernel.worker import run_shard

__all__ = ["Driver", "check_resources"]


class Driver:
    """One run over a plan; with `again`, rows quarantined under that class are run again too."""

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
        self._coming = deque([self._first_tasks()])  # tasks that are made when they are needed
        self._gathered: dict[tuple[int, str], Gathered] = {}  # by source and split
        self._missing = Counter((shard.source, shard.split) for shard in work.plan.shards)
        classes = dict.fromkeys(each.resources for each in reversed(work.segments))
        self._ready: dict[Resources, deque[ShardTask]] = {each: deque() for each in classes}
        self._in_flight: set[str] = set()  # shards that are started and not finished or gathered
        self._most = 0
        self._total = sum(len(work.chains[shard.source]) for shard in work.plan.shards)

    def run(self, engine: Engine) -> None:
        """Run everything that is not committed. Raises any task's error, or StepError."""
        self._most = sum(map(engine.free, self._ready))  # as many shards as there are workers
        self._submit(engine)
        while every := engine.wait():
            for ended in every:
                for task in self._after(ended):
                    self._ready[task.segment.resources].append(task)
            self._submit(engine)
        self._report_progress()

    def _submit(self, engine: Engine) -> None:
        """Submit as many tasks as there are free workers, those of started shards first."""
        for find in (self._started, self._next):
            for resources in self._ready:
                while engine.free(resources) and (task := find(resources)) is not None:
                    engine.submit(Task(run_shard, task, resources))

    def _started(self, resources: Resources) -> ShardTask | None:
        return self._ready[resources].popleft() if self._ready[resources] else None

    def _next(self, resources: Resources) -> ShardTask | None:
        """Return a task, also of a new shard if one of the next ones needs these resources."""
        if self._ready[resources]:
            return self._started(resources)
        while len(self._in_flight) < self._most:
            task = self._take()
            if task is None:
                return None
            self._in_flight.add(task.shard.name)
            if task.segment.resources == resources:
                return task
            self._ready[task.segment.resources].append(task)
        return None

    def _take(self) -> ShardTask | None:
        while self._coming:
            if (task := next(self._coming[0], None)) is not None:
                return task
            self._coming.popleft()
        return None

    def _first_tasks(self) -> Iterator[ShardTask]:
        """Yield each shard's first task, split by split."""
        for split in self._work.plan.splits:
            for shard in self._work.plan.of_split(split):
                task = self._next_task(shard, 0)
                if task is not None:
                    yield task

    def _next_task(self, shard: ShardRef, start: int) -> ShardTask | None:
        """Return the task of a shard's first outdated segment from `start` on, or None."""
        chain = self._work.chains[shard.source]
        for index in range(start, len(chain)):
            if chain[index].index is not None and not self._is_gathered(shard, index):
                return None
            above = None if index == 0 else self._committed.generation(chain[index - 1], shard)
            task = self._task(shard, index, above or 0)
            if task is not None:
                return task
            self._done += 1
        return None

    def _is_gathered(self, shard: ShardRef, index: int) -> bool:
        """Return whether the groups of a shard's source and split are known.

        The last shard that arrives makes them known, and lets all of them go on.
        """
        at = shard.source, shard.split
        if at in self._gathered:
            return True
        self._missing[at] -= 1
        if not self._missing[at]:
            shards = [each for each in self._work.plan.of_split(at[1]) if each.source == at[0]]
            noted = self._work.chains[at[0]][index - 1]
            self._gathered[at] = Gathered.of(self._work, self._committed, noted, shards)
            following = (self._next_task(each, index) for each in shards)
            self._coming.append(task for task in following if task is not None)
        return False

    def _portions(self, shard: ShardRef, index: int) -> tuple[Portion, ...]:
        chain = self._work.chains[shard.source]
        if chain[index].index is None:
            return ()
        gathered = self._gathered[shard.source, shard.split]
        return gathered.portions(shard, self._committed, chain[index - 2])

    def _task(self, shard: ShardRef, index: int, above: int) -> ShardTask | None:
        segment = self._work.chains[shard.source][index]
        own = self._committed.generation(segment, shard)
        again = self._again
        portions = self._portions(shard, index)
        above = max([above, *(each.noted for each in portions)])
        current = own is not None and above <= own
        if current and segment.index is not None:
            now = rows_by_shard(portions)
            current = self._committed.facts(segment, shard).get("portions") == now
        if current and not (again and self._committed.failed(segment, shard, again)):
            return None
        # What follows may be there already: only a new generation makes it look at these rows.
        known = self._committed.generation
        follow = self._work.chains[shard.source][index:]
        replaces = any(known(each, shard) is not None for each in follow)
        return ShardTask(
            segment,
            shard,
            self._work.plan.path,
            self._work.seed,
            self._work.cache,
            self._work.files,
            self._work.deadline,
            generation=max(above, self._round) if replaces else above,
            upstream_generation=above,
            previous=own,
            portions=portions,
            again=None if again is None else again.value,
        )

    def _after(self, ended: Ended[ShardTask]) -> list[ShardTask]:
        """Return the tasks that follow a finished task."""
        if ended.error is not None:
            raise ended.error
        task = ended.task.descriptor
        if ended.loss is Loss.NOT_STARTED:
            return [task]
        single = task.unit is not None
        end: ShardEnd | None = ended.value if single else self._committed.end(task, ended)
        more = self._suspects.next_tasks(task, ended.loss if end is None else None)
        if end is None or single:
            return more
        self._committed.add(task)
        self._count(end)
        chain = self._work.chains[task.shard.source]
        following = self._next_task(task.shard, chain.index(task.segment) + 1)
        if following is None:
            self._in_flight.discard(task.shard.name)
            return []
        return [following]

    def _count(self, end: ShardEnd) -> None:
        self.ran += 1
        self._done += 1
        self._samples += end.samples
        for step, seconds in end.seconds.items():
            self.seconds[step] = self.seconds.get(step, 0.0) + seconds
        self._report_progress()

    def _report_progress(self) -> None:
        self._report(Progress(self._done, self._total, self._samples))


def check_resources(parts: Iterable[tuple[str, Resources]], engine: Engine) -> None:
    """Raise UnavailableError if the engine cannot give what one of the named parts needs."""
    for name, resources in parts:
        if not engine.can_run(resources):
            raise UnavailableError(
                f"{name} needs {resources.gpus} GPU(s) and {resources.cpus} core(s) of one "
                "machine, and there are not as many",
                value=name,
            )
