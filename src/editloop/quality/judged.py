"""A judge's scores as measures of a data set: HQ-Edit's Alignment and Coherence (Table 3)."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from editloop.errors import RecipeError
from editloop.judges.missing_verdicts import NO_VERDICT, refuse_unfinished
from editloop.judges.samples import sample_pair
from editloop.kernel.chunks import Chunk, ChunkRunner, Computed
from editloop.kernel.resources import a_judge
from editloop.quality.chunks import DataChunk
from editloop.quality.numbers import NUMBERS, number_table
from editloop.schema import Cause, EditSample, Json, Judge, Unscored, Verdict
from editloop.storage.commits import ShardKey
from editloop.storage.records import fingerprint
from editloop.storage.shards import ShardStore

__all__ = ["DataJudge"]

_VERSION = "1"
_AT_ONCE = 16  # samples whose pictures are in memory at the same time


class DataJudge:
    """A judge with a store that keeps its scores by content: each edit is judged once."""

    def __init__(self, judge: Judge, store: ShardStore) -> None:
        if not hasattr(judge, "judge"):
            raise RecipeError(
                "this judge compares two edits and scores none",
                value=judge.name,
                fix="use another judge, such as vlm:MODEL?base_url=URL",
            )
        self._judge = judge
        self._store = store

    @property
    def names(self) -> tuple[str, ...]:
        """The perspectives that it scores."""
        return tuple(self._judge.perspectives)

    @property
    def parameters(self) -> list[Json]:
        """Each perspective with the judge and its version."""
        own = {"kind": "judge", "settings": {"judge": self._judge.name}}
        return [{"name": name, **own, "version": self._judge.version} for name in self.names]

    def measure(self, chunk: DataChunk, runner: ChunkRunner) -> dict[str, pa.Table]:
        """Return the scores (schema NUMBERS) of each perspective, by name.

        Raises StepError where some are missing only for now; the others are in the judge's ledger.
        """
        made_from = fingerprint([_VERSION, self._judge.name, self._judge.version, chunk.digest])
        keys = {name: ShardKey(f"judge-{name}", made_from) for name in self.names}
        work = Chunk(None, keys, _judge, self, chunk.samples, len(chunk.samples))
        (done,) = runner.run(self._store, [work], a_judge())
        return {
            name: self._store.table(commit, "data", NUMBERS)
            for name, commit in done.commits.items()
        }

    def judged(self, samples: Sequence[EditSample]) -> dict[str, pa.Table]:
        """Ask the judge; return the scores (schema NUMBERS) of each perspective."""
        verdicts: list[Verdict] = []
        for start in range(0, len(samples), _AT_ONCE):
            verdicts += self._verdicts(samples[start : start + _AT_ONCE])
        refuse_unfinished(verdicts)
        return {
            name: number_table(each.get(name, NO_VERDICT) for each in verdicts)
            for name in self.names
        }

    def _verdicts(self, samples: Sequence[EditSample]) -> list[Verdict]:
        made = [sample_pair(sample) for sample in samples]
        pairs = [each.pair for each in made if each.pair is not None]
        given = iter(self._judge.judge(pairs) if pairs else [])
        return [
            dict.fromkeys(self.names, Unscored(each.reason, cause=Cause.MISSING_INPUT))
            if each.pair is None
            else next(given)
            for each in made
        ]


def _judge(judge: DataJudge, samples: Sequence[EditSample], _: tuple[str, ...]) -> Computed:
    return Computed(judge.judged(samples))
