"""A set of named metrics that are measured together on the same pairs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, TypeAlias

from editloop.errors import UnavailableError
from editloop.hub import weights
from editloop.kernel.resources import CPU, Resources, a_model
from editloop.metrics.pixels import PixelMetric, measure_many
from editloop.registry import Spec, parse_spec
from editloop.runtime.machine import cores
from editloop.schema import Cause, EditedPair, Json, Metric, Score, Unscored

__all__ = ["Chosen", "MetricSet", "Numbers", "choose", "metrics_of"]


Numbers: TypeAlias = list[dict[str, Score | Unscored]]  # of each pair, by name


@dataclass(frozen=True, slots=True)
class Chosen:
    """A metric and the SPEC that made it, which together define its numbers."""

    spec: Spec
    metric: Metric


def choose(spec: str | Mapping[str, Json]) -> Chosen:
    """Return the metric that a SPEC names."""
    parsed = parse_spec(spec, "metric")
    return Chosen(parsed, parsed.create("metric"))


class MetricSet:
    """Metrics by name; those whose weights are missing are unscored with the reason.

    Pixel metrics share intermediate results, and embedding metrics share `embeddings`.
    """

    def __init__(self, metrics: Mapping[str, Chosen], embeddings: Any = None) -> None:
        self._chosen = dict(metrics)
        self._metrics = {name: each.metric for name, each in metrics.items()}
        self._held = nullcontext if embeddings is None else embeddings.held
        self.missing: dict[str, UnavailableError] = {}
        for name, metric in self._metrics.items():
            error = metric.missing() if hasattr(metric, "missing") else None
            if error is not None:
                self.missing[name] = error
            elif embeddings is not None and hasattr(metric, "use"):
                metric.use(embeddings)

    @property
    def names(self) -> tuple[str, ...]:
        """The metrics' names, in their order."""
        return tuple(self._metrics)

    @property
    def parameters(self) -> dict[str, Json]:
        """The definition of the numbers: each metric's name, version, SPEC, and missing metrics."""
        versions = {
            name: [each.metric.name, each.metric.version, each.spec.kind, dict(each.spec.settings)]
            for name, each in self._chosen.items()
        }
        return {"versions": versions, "missing": sorted(self.missing)}

    @property
    def facts(self) -> dict[str, Json]:
        """`parameters`, with the identity of each metric's weights, the same on any machine."""
        versions = {
            name: [*self.parameters["versions"][name], _weights_of(each)]
            for name, each in self._metrics.items()
        }
        return {**self.parameters, "versions": versions}

    @property
    def stamps(self) -> dict[str, Json]:
        """Stamps of the weights on this machine, by their names."""
        names = {name for each in self._metrics.values() for name in getattr(each, "weights", ())}
        return {name: weights.stamp(name) for name in sorted(names)}

    @property
    def needs(self) -> frozenset[str]:
        """The fields of EditedPair that any metric reads."""
        return frozenset().union(*(each.needs for each in self._metrics.values()))

    @property
    def resources(self) -> Resources:
        """Those of a model if any metric has weights, otherwise one core."""
        has_weights = any(getattr(each, "weights", ()) for each in self._metrics.values())
        return a_model() if has_weights else CPU

    def measure(self, batch: Sequence[EditedPair]) -> list[dict[str, Score | Unscored]]:
        """Return every metric of each pair, by name."""
        return self.begin(batch)()

    def begin(self, batch: Sequence[EditedPair]) -> Callable[[], Numbers]:
        """Return a function that returns `measure`; the pairs may be freed before it is called.

        So pictures of several batches are encoded together without being in memory together.
        """
        with self._held():  # each picture is hashed once, whatever metrics ask for it
            begun = {
                name: self._begun(name, metric, batch)
                for name, metric in self._metrics.items()
                if not isinstance(metric, PixelMetric)
            }
        found = self._of_pixels(batch)

        def finished() -> Numbers:
            for name, scores in begun.items():
                for numbers, score in zip(found, scores(), strict=True):
                    numbers[name] = score
            return found

        return finished

    def _of_pixels(self, batch: Sequence[EditedPair]) -> Numbers:
        """Return the pixel metrics of each pair, measured in threads."""
        pixels = {
            name: each for name, each in self._metrics.items() if isinstance(each, PixelMetric)
        }

        def measured(pair: EditedPair) -> dict[str, Score | Unscored]:
            return dict(zip(pixels, measure_many(pair, list(pixels.values())), strict=True))

        with ThreadPoolExecutor(cores()) as pool:
            return list(pool.map(measured, batch))

    def _begun(
        self, name: str, metric: Metric, batch: Sequence[EditedPair]
    ) -> Callable[[], Sequence[Score | Unscored]]:
        if name in self.missing:
            absent = [Unscored(self.missing[name].cause, cause=Cause.UNAVAILABLE)] * len(batch)
            return lambda: absent
        if hasattr(metric, "begin"):
            begun: Callable[[], Sequence[Score | Unscored]] = metric.begin(batch)
            return begun
        scores = metric.measure(batch)
        return lambda: scores


def _weights_of(metric: Metric) -> dict[str, str | None]:
    return {name: weights.identity(name) for name in getattr(metric, "weights", ())}


def metrics_of(specs: Sequence[str | Mapping[str, Json]]) -> dict[str, Chosen]:
    """Return the metrics of some SPECs by name: the name in the SPEC, or else the metric's own."""
    chosen = [choose(spec) for spec in specs]
    return {each.spec.name if _is_named(each.spec) else each.metric.name: each for each in chosen}


def _is_named(spec: Spec) -> bool:
    return ":" not in spec.name and spec.name != spec.kind
