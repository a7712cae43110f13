"""The build step `filter`: a cascade of thresholds on metrics, scores and masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property

from pydantic import Field, field_validator

from editloop.errors import RecipeError
from editloop.filters.gates import MaskGate, MetricGate, Rule, ScoreGate, make_gate, verdict
from editloop.filters.pairs import DecodedPairs
from editloop.kernel.resources import Resources
from editloop.kernel.sample_steps import SampleStep
from editloop.kernel.steps import Keep, Outcome, StepContext
from editloop.metrics.embeddings import Embeddings
from editloop.metrics.metric_set import MetricSet
from editloop.runtime.machine import device
from editloop.schema import EditSample, Json, Score, Unscored
from editloop.settings import Settings as BaseSettings

__all__ = ["FilterSettings", "FilterStep"]

# Few samples reach the last rules, and a batch that is not full is padded.
_BATCH = {"cpu": 4, "cuda": 16}
_FIELDS = {"source": "source", "edited": "target"}  # of a pair, and of the sample that it is from


class FilterSettings(BaseSettings):
    """The rules that a sample must keep, all of them."""

    rules: tuple[Rule, ...] = Field(description="limits of metrics, scores and masks")

    @field_validator("rules")
    @classmethod
    def _are_some(cls, rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
        if not rules:
            raise ValueError("a filter has at least one rule")
        return rules


class FilterStep(SampleStep):
    """Keep the samples that keep every rule; a dropped one has its first broken rule as reason.

    Rules are checked in the order of their cost: scores and masks, pixel metrics, then networks by
    their work; at equal cost as the recipe lists them. A dropped sample is not measured further, so
    the order decides the cost and the reason, and never what is kept. A value that cannot be
    measured breaks its rule. Measured metrics are added to the scores.
    """

    Settings = FilterSettings
    deadline = 600.0  # seconds; large encoders are slow on a CPU

    def __init__(self, settings: FilterSettings) -> None:
        super().__init__(settings)
        self._gates = [make_gate(rule) for rule in settings.rules]
        names = [gate.name for gate in self._gates]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise RecipeError(
                "two rules of a filter have the same name",
                value=twice[0],
                fix="state least and most in one rule, or write NAME=SPEC for one metric",
            )
        measured = [gate for gate in self._gates if isinstance(gate, MetricGate)]
        self._metrics = MetricSet({gate.name: gate.chosen for gate in measured})
        self._pairs = DecodedPairs()
        self.embeddings = Embeddings()

    @property
    def name(self) -> str:
        """The kind's name."""
        return "filter"

    @property
    def needs(self) -> frozenset[str]:  # type: ignore[override]
        """The pictures that the metrics compare."""
        return frozenset(_FIELDS[each] for each in self._metrics.needs & _FIELDS.keys())

    @property
    def resources(self) -> Resources:
        """Those of a model if any metric has weights, otherwise one core."""
        return self._metrics.resources

    @property
    def parameters(self) -> Mapping[str, Json]:
        """The limits, and the metrics with their weights; UnavailableError if any are missing."""
        self._check_weights()
        limits = {
            gate.name: [gate.rule.mask, gate.rule.score, gate.rule.least, gate.rule.most]
            for gate in self._gates
        }
        return {"limits": limits, "metrics": self._metrics.facts["versions"]}

    @cached_property
    def gates(self) -> list[ScoreGate | MaskGate | MetricGate]:
        """The gates in the order in which they are checked."""
        return sorted(self._gates, key=lambda gate: gate.cost)

    @property
    def reasons(self) -> list[str]:
        """The reasons to drop a sample, in the order in which they are checked."""
        return [reason for gate in self.gates for reason in gate.rule.reasons(gate.name)]

    def setup(self, context: StepContext) -> None:
        """Open the store of embeddings; UnavailableError if the weights of a metric are missing."""
        super().setup(context)
        self._check_weights()
        folder = None if context.cache is None else context.cache / "embeddings"
        networks = self.resources.kind == "gpu"
        self.embeddings = Embeddings(folder, batch=_BATCH[device()] if networks else None)
        for gate in self._gates:
            if isinstance(gate, MetricGate):
                gate.use(self.embeddings)

    def process(self, batch: Sequence[EditSample]) -> list[Outcome]:
        """Return Keep or Drop for each sample; one gate after the other measures what is left."""
        ended: dict[int, Outcome] = {}
        scores: list[dict[str, Score | Unscored]] = [{} for _ in batch]
        for gate in self.gates:
            left = [at for at in range(len(batch)) if at not in ended]
            found = gate.measure([batch[at] for at in left], self._pairs)
            for at, score in zip(left, found, strict=True):
                if (end := verdict(gate, score)) is not None:
                    ended[at] = end
                elif isinstance(gate, MetricGate):
                    scores[at][gate.name] = score
        self._pairs.free()
        return [
            ended.get(at) or Keep((replace(sample, scores={**sample.scores, **scores[at]}),))
            for at, sample in enumerate(batch)
        ]

    def _check_weights(self) -> None:
        for absent in self._metrics.missing.values():
            raise absent
