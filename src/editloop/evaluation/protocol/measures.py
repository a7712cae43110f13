"""All measures of a protocol: its metrics, and the scores of its judge."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from editloop.errors import RecipeError, UnavailableError
from editloop.evaluation.protocol.card import Protocol
from editloop.evaluation.protocol.judged import Judged
from editloop.kernel.resources import Resources, a_judge
from editloop.metrics.metric_set import Chosen, MetricSet, Numbers, choose
from editloop.registry import parse_spec, settings_of
from editloop.schema import EditedPair, Json, Judge

__all__ = ["ProtocolMeasures", "protocol_metrics"]

_JUDGED = frozenset({"source", "edited"})
_AT_ONCE = 8  # pairs whose pictures are in memory at the same time


class ProtocolMeasures:
    """The numbers of a protocol under its own names; the judge's are unscored without a judge."""

    def __init__(
        self,
        protocol: Protocol,
        metrics: Mapping[str, Chosen],
        judge: Judge | None,
        embeddings: Any = None,
    ) -> None:
        self._metrics = MetricSet(metrics, embeddings)
        self._embeddings = embeddings
        self._judged = None if protocol.judge is None else Judged(protocol.judge, judge)
        self._has_judge = judge is not None

    @property
    def names(self) -> tuple[str, ...]:
        """The numbers' names, in the card's order."""
        judged = () if self._judged is None else self._judged.names
        return (*judged, *self._metrics.names)

    @property
    def texts(self) -> tuple[str, ...]:
        """The names of the numbers that come with a text."""
        return () if self._judged is None else self._judged.texts

    @property
    def unjudged(self) -> tuple[str, ...]:
        """The names of the judge's numbers if no judge is given, otherwise empty."""
        return () if self._judged is None or self._has_judge else self._judged.names

    @property
    def missing(self) -> Mapping[str, UnavailableError]:
        """The metrics that are unavailable on this machine, each with its error."""
        return self._metrics.missing

    @property
    def parameters(self) -> dict[str, Json]:
        """Everything that the numbers depend on, besides the pictures."""
        judged = None if self._judged is None else self._judged.parameters
        return {
            "metrics": self._metrics.parameters,
            "weights": self._metrics.stamps,
            "judge": judged,
        }

    @property
    def facts(self) -> dict[str, Json]:
        """The definition of each metric, the same on every machine."""
        return self._metrics.facts

    @property
    def needs(self) -> frozenset[str]:
        """The fields of EditedPair that the measures read."""
        return self._metrics.needs | (_JUDGED if self._has_judge else frozenset())

    @property
    def at_once(self) -> int | None:
        """The number of pairs measured together; None (a whole chunk) if there is a judge."""
        return None if self._has_judge else _AT_ONCE

    @property
    def resources(self) -> Resources:
        """Those of the metrics; a judge may ask a server, and has a ledger."""
        return a_judge() if self._has_judge else self._metrics.resources

    @property
    def counts(self) -> dict[str, int]:
        """The numbers of pictures and texts that were encoded or found encoded so far."""
        return {} if self._embeddings is None else asdict(self._embeddings.counts)

    def begin(self, batch: Sequence[EditedPair]) -> Callable[[], Numbers]:
        """Start measuring; return a function that returns every number of each pair.

        The pairs may be freed before that function is called.
        """
        metrics = self._metrics.begin(batch)
        if self._judged is None:
            return metrics
        judged = self._judged.measure(batch)
        return lambda: [
            {**verdict, **numbers} for verdict, numbers in zip(judged, metrics(), strict=True)
        ]


def protocol_metrics(
    protocol: Protocol, wanted: Sequence[str], precision: str
) -> dict[str, Chosen]:
    """Return the card's metrics, or only the `wanted` ones; a SPEC in `wanted` adds a metric.

    `precision` applies to the models that encode pictures and texts. Raises RecipeError for an
    unknown or repeated name.
    """
    unknown = [name for name in wanted if name not in protocol.metrics and not _is_spec(name)]
    if unknown:
        raise RecipeError(
            f"the protocol {protocol.name} has no such metric",
            value=unknown[0],
            fix=f"it has {', '.join(protocol.metrics) or 'none'}; add another one as a SPEC, such "
            "as `ssim=pixels:ssim`",
        )
    chosen = [name for name in wanted if name in protocol.metrics] if wanted else protocol.metrics
    specs: dict[str, Mapping[str, Json]] = {name: protocol.metrics[name] for name in chosen}
    for each in (parse_spec(name, "metric") for name in wanted if name not in protocol.metrics):
        name = each.name.rpartition(":")[2]
        if name in specs or name in protocol.metrics:
            raise RecipeError(
                "an added metric has the name of another metric",
                value=name,
                fix="give it another name: NAME=SPEC",
            )
        specs[name] = {"kind": each.kind, **each.settings}
    return {name: choose(_precise(spec, precision)) for name, spec in specs.items()}


def _is_spec(name: str) -> bool:
    return ":" in name or "=" in name


def _precise(spec: Mapping[str, Json], precision: str) -> Mapping[str, Json]:
    takes = "precision" in settings_of("metric", spec["kind"]).model_fields
    return {"precision": precision, **spec} if takes else spec
