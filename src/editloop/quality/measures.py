"""The numbers of a data set, chunk by chunk; each metric of each chunk is computed once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import pyarrow as pa

from editloop.errors import RecipeError, UnavailableError
from editloop.hub import weights
from editloop.kernel.chunks import Chunk, ChunkRunner, Computed
from editloop.kernel.engines.worker import current_worker
from editloop.metrics.embeddings import Embeddings
from editloop.metrics.metric_set import Chosen, MetricSet, metrics_of
from editloop.quality.chunks import DataChunk
from editloop.quality.judged import DataJudge
from editloop.quality.numbers import NUMBERS, number_table
from editloop.quality.pairs import measure_samples
from editloop.registry import Spec
from editloop.schema import EditSample, Json
from editloop.storage.commits import ShardKey
from editloop.storage.records import fingerprint
from editloop.storage.shards import ShardStore

__all__ = ["DataMeasures"]

_VERSION = "1"


class DataMeasures:
    """Metrics by SPEC and perhaps a judge, with a store that caches their numbers by content.

    `missing` holds the reason for each metric left out because its weights are missing.
    """

    def __init__(
        self,
        specs: Sequence[str | Mapping[str, Json]],
        store: ShardStore,
        embeddings: Path,
        judge: DataJudge | None = None,
    ) -> None:
        self._metrics = metrics_of(specs)
        self._judge = judge
        if len(set(self.names)) < len(specs) + (0 if judge is None else len(judge.names)):
            raise RecipeError(
                "two metrics have the same name",
                value=", ".join(map(str, specs)),
                fix="write NAME=SPEC for one of them",
            )
        self._store = store
        self._embeddings = embeddings
        self.missing: Mapping[str, UnavailableError] = MetricSet(self._metrics).missing
        self._identities = {name: _identity(chosen) for name, chosen in self._metrics.items()}

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all metrics and the judge's perspectives, in order."""
        return (*self._metrics, *(() if self._judge is None else self._judge.names))

    @property
    def parameters(self) -> list[Json]:
        """Each measure's kind, settings and version: what numbers depend on besides the data."""
        own = [{"name": name, **each} for name, each in self._identities.items()]
        return own if self._judge is None else [*own, *self._judge.parameters]

    def measure(
        self, chunks: Iterable[DataChunk], runner: ChunkRunner
    ) -> Iterator[tuple[DataChunk, dict[str, pa.Table]]]:
        """Yield each chunk, without its pictures, with the numbers (schema NUMBERS) by measure.

        Measures that are missing have no numbers.
        """
        there = {name: each for name, each in self._metrics.items() if name not in self.missing}
        task = _Measuring({name: each.spec for name, each in there.items()}, self._embeddings)

        def works() -> Iterator[Chunk]:
            for chunk in chunks:
                made_from = {
                    name: [_VERSION, self._identities[name], chunk.digest] for name in there
                }
                keys = {name: ShardKey(name, fingerprint(each)) for name, each in made_from.items()}
                judged = {} if self._judge is None else self._judge.measure(chunk, runner)
                about = chunk.without_pictures(), judged
                samples = chunk.samples
                del chunk  # frees the pictures before the next chunk is read
                yield Chunk(about, keys, _measure, task, samples, len(samples))
                del samples

        for done in runner.run(self._store, works(), MetricSet(there).resources):
            chunk, judged = done.about
            found = {
                name: self._store.table(commit, "data", NUMBERS)
                for name, commit in done.commits.items()
            }
            yield chunk, {**found, **judged}


@dataclass(frozen=True, slots=True)
class _Measuring:
    """The descriptor of a chunk to measure: metrics, and the folder of their embeddings."""

    metrics: Mapping[str, Spec]
    embeddings: Path


def _measure(task: _Measuring, samples: Sequence[EditSample], names: tuple[str, ...]) -> Computed:
    worker = current_worker()
    embeddings = worker.kept(("embeddings", task.embeddings), partial(Embeddings, task.embeddings))
    metrics = worker.kept(
        ("metrics", fingerprint({name: asdict(spec) for name, spec in task.metrics.items()})),
        lambda: {name: Chosen(spec, spec.create("metric")) for name, spec in task.metrics.items()},
    )
    MetricSet(metrics, embeddings)  # tells the metrics to use the embeddings
    rows = list(measure_samples(samples, {name: metrics[name] for name in names}, embeddings))
    return Computed({name: number_table(row[name] for row in rows) for name in names})


def _identity(chosen: Chosen) -> dict[str, Json]:
    spec, metric = chosen.spec, chosen.metric
    return {
        "kind": spec.kind,
        "settings": dict(spec.settings),
        "version": metric.version,
        "weights": {name: weights.identity(name) for name in getattr(metric, "weights", ())},
    }
