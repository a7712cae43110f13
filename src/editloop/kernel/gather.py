"""Groups that span shards: the step `gather` brings the samples of each group into one shard.

    build:
      - {kind: generate}
      - {kind: gather}
      - {kind: best-of}      # names the groups

The segment `gather` writes down the group of each sample; no picture is copied. When all shards of
a source and split have done so, each group goes to the shard of its first sample, and the tasks of
the next segment read their samples from all shards that have some. The driver holds twelve bytes
for each sample.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from editloop.errors import StepError
from editloop.kernel.committed import Committed, Work
from editloop.kernel.shard_plan import ShardRef, short_hash
from editloop.kernel.steps import Outcome, StepContext
from editloop.kernel.tasks import Portion, Segment
from editloop.schema import EditSample, Json
from editloop.storage.shards import ShardStore

__all__ = ["GatherStep", "Gathered"]


class GatherStep:
    """Marks the place in a chain of steps where groups are gathered."""

    gathers = True
    name = "gather"
    version = "1"
    parameters: Mapping[str, Json] = {}
    needs: frozenset[str] = frozenset()
    adds: frozenset[str] = frozenset()

    def setup(self, context: StepContext) -> None:
        pass

    def process(self, _: Sequence[EditSample]) -> list[Outcome]:
        raise StepError("`gather` is carried out by the kernel, which runs no batch of it")


@dataclass(frozen=True, slots=True, eq=False)
class Gathered:
    """Which samples of a source and split go to which of its shards."""

    segment: Segment  # that wrote down the groups
    shards: Sequence[ShardRef]
    places: Mapping[str, int]  # of the shards, by name
    starts: NDArray[np.int64]  # the first row of each shard, and the number of rows
    order: NDArray[np.int64]  # all rows, by the shard to which they go
    bounds: NDArray[np.int64]  # of each shard's rows in `order`

    @classmethod
    def of(
        cls, work: Work, committed: Committed, segment: Segment, shards: Sequence[ShardRef]
    ) -> Gathered:
        """Read the index of every shard; the groups of a shard stay there, if they start there."""
        hashes, counts = [], []
        for shard in shards:
            names = list(_groups(work, committed, segment, shard))
            hashes.append(np.array([short_hash(name) for name in names], np.uint64))
            counts.append(len(names))
        starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        _, first, group = np.unique(np.concatenate(hashes), return_index=True, return_inverse=True)
        home = (np.searchsorted(starts, first, side="right") - 1)[group]
        order = np.argsort(home, kind="stable")
        bounds = np.searchsorted(home[order], np.arange(len(shards) + 1))
        places = {shard.name: place for place, shard in enumerate(shards)}
        return cls(segment, shards, places, starts, order, bounds)

    def portions(self, shard: ShardRef, committed: Committed, data: Segment) -> tuple[Portion, ...]:
        """Return the rows of each shard's `data` that go to a shard, in order."""
        at = self.places[shard.name]
        rows = self.order[self.bounds[at] : self.bounds[at + 1]]
        places = np.searchsorted(self.starts, rows, side="right") - 1
        found = []
        for place in np.unique(places).tolist():
            origin = self.shards[place]
            own = (rows[places == place] - self.starts[place]).tolist()
            now, noted = (committed.generation(each, origin) or 0 for each in (data, self.segment))
            found.append(Portion(origin, now, noted, tuple(own)))
        return tuple(found)


def _groups(work: Work, committed: Committed, segment: Segment, shard: ShardRef) -> Iterator[str]:
    store = ShardStore(segment.folder, work.files)
    commit = store.find(shard.name, shard.fingerprint, committed.generation(segment, shard) or 0)
    if commit is not None:
        for batch in store.read(commit, columns=["group"]):
            yield from batch.column("group").to_pylist()
