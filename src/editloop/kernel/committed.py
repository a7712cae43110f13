"""The commits of a build: listed once per segment, and cleaned of replaced generations."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from editloop.errors import FailureClass, StoreError
from editloop.kernel.engines.base import Ended
from editloop.kernel.shard_plan import ShardPlan, ShardRef
from editloop.kernel.tasks import Segment, ShardEnd, ShardTask
from editloop.schema import Json
from editloop.storage.commits import ShardKey
from editloop.storage.files import Files
from editloop.storage.shards import ShardStore

__all__ = ["Committed", "Work"]


@dataclass(frozen=True, slots=True)
class Work:
    """The work to do: a plan's shards, and for each source the chain of segments."""

    plan: ShardPlan
    chains: Sequence[Sequence[Segment]]  # by the source's index
    seed: int
    cache: Path
    files: Files
    deadline: float  # seconds that an input may take in a step that states none

    @property
    def segments(self) -> list[Segment]:
        return [segment for chain in self.chains for segment in chain]


class Committed:
    """The commits of all segments, from one listing per segment."""

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
        """The highest generation of any commit."""
        return max(self._newest.values(), default=0)

    def generation(self, segment: Segment, shard: ShardRef) -> int | None:
        """Return the newest generation of a shard, or None if nothing is committed."""
        return self._newest.get((segment.folder, shard.name, shard.fingerprint))

    def end(self, task: ShardTask, ended: Ended[ShardTask]) -> ShardEnd | None:
        """Return the end of a task: the commit record decides, whatever became of the worker.

        None if a lost worker left no record; StoreError if one that ended left none.
        """
        store, shard = self._stores[task.segment.folder], task.shard
        commit = store.find(shard.name, shard.fingerprint, task.generation)
        if ended.loss is not None:
            return None if commit is None else ShardEnd(commit.files["data"].rows, {})
        if commit is None:
            raise StoreError(
                f"a worker has committed shard {shard.name}, and its record is not here",
                value=store.folder,
                fix="give all nodes the run folder at the same path, on a shared file system",
            )
        end: ShardEnd = ended.value
        return end

    def add(self, task: ShardTask) -> None:
        """Record the commit that `task` has just made."""
        folder = task.segment.folder
        key = ShardKey(task.shard.name, task.shard.fingerprint, task.generation)
        self._keys[folder].add(key)
        self._note(folder, key)

    def failed(self, segment: Segment, shard: ShardRef, again: FailureClass) -> bool:
        """Return whether the newest commit has a row quarantined under the class `again`."""
        return again.value in self.facts(segment, shard).get("by_class", {})

    def facts(self, segment: Segment, shard: ShardRef) -> Mapping[str, Json]:
        """Return the facts of the newest commit; none if nothing is committed."""
        store, key = self.at(segment, shard)
        commit = store.find(key.shard, key.fingerprint, key.generation)
        return {} if commit is None else commit.facts

    def at(self, segment: Segment, shard: ShardRef) -> tuple[ShardStore, ShardKey]:
        """Return the store and key of the newest commit."""
        generation = self.generation(segment, shard) or 0
        key = ShardKey(shard.name, shard.fingerprint, generation)
        return self._stores[segment.folder], key

    def digest(self) -> str:
        """Return a fingerprint (16 hex digits) of the commits that make up the plan.

        With a commit missing, it is that of no published data.
        """
        keys = hashlib.sha256()
        for shard in self._work.plan.shards:
            for segment in self._work.chains[shard.source]:
                _, key = self.at(segment, shard)
                missing = "" if self.generation(segment, shard) is not None else " missing"
                keys.update(f"{segment.folder.name}/{key}{missing}\n".encode())
        return keys.hexdigest()[:16]

    def sweep_orphans(self) -> None:
        """Remove the files left by interrupted commits."""
        for store in self._stores.values():
            store.sweep()

    def sweep(self) -> None:
        """Remove every commit that was replaced or is not part of the plan."""
        kept: dict[Path, set[ShardKey]] = {folder: set() for folder in self._stores}
        for shard in self._work.plan.shards:
            for store, key in self.chain(shard):
                kept[store.folder].add(key)
        for folder, keys in kept.items():
            if keys != self._keys[folder]:
                self._stores[folder].sweep(frozenset(keys))

    def chain(self, shard: ShardRef) -> list[tuple[ShardStore, ShardKey]]:
        """Return the store and key of a shard's commit in each segment."""
        return [self.at(segment, shard) for segment in self._work.chains[shard.source]]
