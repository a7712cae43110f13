"""The numbers of a data set, chunk by chunk; each metric of each chunk is computed once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from editloop.errors import RecipeError, UnavailableError
from editloop.hub import weights
from editloop.metrics.embeddings import Embeddings
from editloop.metrics.metric_set import Chosen, MetricSet, metrics_of
from editloop.quality.chunks import DataChunk
from editloop.quality.judged import DataJudge
from editloop.quality.numbers import NUMBERS, number_table
from editloop.quality.pairs import measure_samples
from editloop.schema import EditSample, Json
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
        embeddings: Embeddings,
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
        self.missing: Mapping[str, UnavailableError] = MetricSet(self._metrics, embeddings).missing
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

    def measure(self, chunk: DataChunk) -> dict[str, pa.Table]:
        """Return the numbers (schema NUMBERS) of each measure that is not missing, by name."""
        keys = {
            name: fingerprint([_VERSION, self._identities[name], chunk.digest])
            for name in self._metrics
            if name not in self.missing
        }
        commits = {name: self._store.find(name, key) for name, key in keys.items()}
        fresh = [name for name, commit in commits.items() if commit is None]
        found = self._measured(chunk.samples, fresh)
        for name, table in found.items():
            self._store.commit(name, {"data": table}, fingerprint=keys[name])
        for name, commit in commits.items():
            if commit is not None:
                found[name] = self._store.table(commit, "data", NUMBERS)
        return found if self._judge is None else {**found, **self._judge.measure(chunk)}

    def _measured(self, samples: Sequence[EditSample], names: Sequence[str]) -> dict[str, pa.Table]:
        if not names:
            return {}
        metrics = {name: self._metrics[name] for name in names}
        rows = list(measure_samples(samples, metrics, self._embeddings))
        return {name: number_table(row[name] for row in rows) for name in names}


def _identity(chosen: Chosen) -> dict[str, Json]:
    spec, metric = chosen.spec, chosen.metric
    return {
        "kind": spec.kind,
        "settings": dict(spec.settings),
        "version": metric.version,
        "weights": {name: weights.identity(name) for name in getattr(metric, "weights", ())},
    }
