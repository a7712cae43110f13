"""The inputs of a task: a plan's items, or the samples of the segment before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from editloop.errors import CorruptError
from editloop.kernel.contract import Identified
from editloop.kernel.groups import group_names, grouping, units_of
from editloop.kernel.shard_plan import ShardRef, read_items
from editloop.kernel.tasks import Portion, ShardTask
from editloop.schema import EditSample
from editloop.storage.commits import Commit
from editloop.storage.samples import from_row
from editloop.storage.shards import ShardStore

__all__ = ["changed_upstream", "count_units", "read_inputs"]


def count_units(task: ShardTask) -> int:
    """Return the number of a task's inputs, or of its groups of inputs that belong together."""
    if task.segment.upstream is None:
        return len(read_items(task.plan, task.shard, task.files))
    if task.segment.grouped:
        group = grouping(task.segment.steps[0].create())
        return len(units_of(group_names(group, read_inputs(task))))
    _, commit = _commit_of(task, task.shard, task.upstream_generation)
    return commit.files["data"].rows


def read_inputs(task: ShardTask) -> Sequence[Identified]:
    """Return a segment's inputs: the plan's items, or the samples of the segment before it."""
    if task.segment.upstream is None:
        return read_items(task.plan, task.shard, task.files)
    if task.segment.index is not None:
        return [sample for each in task.portions for sample in _portion(task, each)]
    store, commit = _commit_of(task, task.shard, task.upstream_generation)
    return [from_row(row) for batch in store.read(commit) for row in batch.to_pylist()]


def _portion(task: ShardTask, portion: Portion) -> Iterator[EditSample]:
    """Yield the samples that a shard gives to a gathered one."""
    store, commit = _commit_of(task, portion.shard, portion.generation)
    wanted, first = set(portion.rows), 0
    for batch in store.read(commit):
        places = [at for at in range(batch.num_rows) if first + at in wanted]
        yield from (from_row(row) for row in batch.take(pa.array(places, pa.int64())).to_pylist())
        first += batch.num_rows


def _commit_of(task: ShardTask, shard: ShardRef, generation: int) -> tuple[ShardStore, Commit]:
    """Return the commit of the segment before; raises CorruptError if it is missing."""
    store = ShardStore(task.segment.upstream or Path(), task.files)
    commit = store.find(shard.name, shard.fingerprint, generation)
    if commit is None:
        raise CorruptError(
            "a shard's input is missing", value=store.folder, fix="run the recipe again"
        )
    return store, commit


def changed_upstream(task: ShardTask) -> set[str]:
    """Return the inputs whose sample changed since the commit from which this task goes on."""
    changed: set[str] = set()
    folder = task.segment.index or task.segment.upstream
    if folder is None or task.previous is None:
        return changed
    store = ShardStore(folder, task.files)
    above = [(each.shard, each.noted) for each in task.portions]
    for shard, newest in above or [(task.shard, task.upstream_generation)]:
        for generation in range(task.previous + 1, newest + 1):
            commit = store.find(shard.name, shard.fingerprint, generation)
            if commit is not None:
                changed |= set(commit.facts.get("changed", ()))
    return changed
