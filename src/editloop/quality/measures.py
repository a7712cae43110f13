"""The numbers of a data set, chunk by chunk; each metric of each chunk is computed once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from editloop.errors import RecipeError, UnavailableError
from editloop.hub import weights
from editloop.metrics.embeddings import Embeddings
from editloop.metrics.metric_set import Chosen, MetricSet, metrics_of
from editloop.quality.chunks import DataChunk
from editloop.quality.pairs import measure_samples
from editloop.schema import EditSample, Json, Score, Unscored
from editloop.storage.records import fingerprint
from editloop.storage.shards import ShardStore

__all__ = ["NUMBERS", "DataMeasures"]

_VERSION = "1"

NUMBERS = pa.schema([("value", pa.float64()), ("reason", pa.string())])  # one row per sample


class DataMeasures:
    """Metrics by SPEC, with a store that caches their numbers by content.

    `missing` holds the reason for each metric left out because its weights are missing.
    """

    def __init__(
        self, specs: Sequence[str | Mapping[str, Json]], store: ShardStore, embeddings: Embeddings
    ) -> None:
        self._metrics = metrics_of(specs)
        if len(self._metrics) < len(specs):
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
        """The names of all metrics, in order."""
        return tuple(self._metrics)

    @property
    def parameters(self) -> list[Json]:
        """Each metric's kind, settings and version: what the numbers depend on besides the data."""
        return [{"name": name, **each} for name, each in self._identities.items()]

    def measure(self, chunk: DataChunk) -> dict[str, pa.Table]:
        """Return the numbers (schema NUMBERS) of each metric that is not missing, by name."""
        keys = {
            name: fingerprint([_VERSION, self._identities[name], chunk.digest])
            for name in self.names
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
        return found

    def _measured(self, samples: Sequence[EditSample], names: Sequence[str]) -> dict[str, pa.Table]:
        if not names:
            return {}
        metrics = {name: self._metrics[name] for name in names}
        rows = list(measure_samples(samples, metrics, self._embeddings))
        return {
            name: pa.Table.from_pylist([_number(row[name]) for row in rows], schema=NUMBERS)
            for name in names
        }


def _identity(chosen: Chosen) -> dict[str, Json]:
    spec, metric = chosen.spec, chosen.metric
    return {
        "kind": spec.kind,
        "settings": dict(spec.settings),
        "version": metric.version,
        "weights": {name: weights.identity(name) for name in getattr(metric, "weights", ())},
    }


def _number(score: Score | Unscored) -> Json:
    if isinstance(score, Unscored):
        return {"value": None, "reason": score.reason}
    return {"value": score.value, "reason": None}
