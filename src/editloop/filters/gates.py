"""Gates of a filter: each measures one value of a sample, which must keep its limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import cv2
from pydantic import Field, model_validator

from editloop.errors import FailureClass, RecipeError
from editloop.filters.pairs import DecodedPairs
from editloop.images.codec import decode_mask
from editloop.kernel.steps import Drop, Fail
from editloop.metrics.embeddings import Embeddings
from editloop.metrics.metric_set import Chosen, MetricSet, metrics_of
from editloop.registry import parse_spec, settings_of
from editloop.schema import Cause, EditSample, Image, Json, Score, Unscored
from editloop.settings import Settings as BaseSettings

__all__ = ["Gate", "MaskGate", "MetricGate", "Rule", "ScoreGate", "make_gate", "verdict"]


class Rule(BaseSettings):
    """A measured value of a sample and its limits, both of which may be reached."""

    metric: str | dict[str, Json] | None = Field(
        default=None,
        description="a metric's SPEC, or a mapping with `kind`: it compares the target with the "
        "source",
    )
    score: str | None = Field(default=None, description="the name of a score of the sample")
    mask: Literal["area", "outlines"] | None = Field(
        default=None,
        description="of the mask: the share of the picture where it allows editing, or the number "
        "of its outer outlines",
    )
    least: float | None = Field(default=None, description="the lowest value that is kept")
    most: float | None = Field(default=None, description="the highest value that is kept")

    @model_validator(mode="after")
    def _is_whole(self) -> Rule:
        if sum(each is not None for each in (self.metric, self.score, self.mask)) != 1:
            raise ValueError("a rule names one of metric, score and mask")
        if self.least is None and self.most is None:
            raise ValueError("a rule states least, most or both")
        if self.least is not None and self.most is not None and self.least > self.most:
            raise ValueError("least is above most: nothing would be kept")
        return self

    def broken(self, name: str, value: float) -> str | None:
        """Return the reason to drop a sample with this value, or None."""
        if self.least is not None and not value >= self.least:
            return f"{name} below {self.least:g}"
        if self.most is not None and not value <= self.most:
            return f"{name} above {self.most:g}"
        return None

    def reasons(self, name: str) -> list[str]:
        """Return every reason for which this rule drops samples."""
        low = [] if self.least is None else [f"{name} below {self.least:g}"]
        high = [] if self.most is None else [f"{name} above {self.most:g}"]
        return [*low, *high, _unscored(name)]


class Gate(Protocol):
    """A rule with what it measures."""

    @property
    def rule(self) -> Rule: ...

    @property
    def name(self) -> str: ...

    @property
    def cost(self) -> tuple[int, float]:
        """The work of measuring a sample, to order gates by."""
        ...

    def measure(
        self, samples: Sequence[EditSample], pairs: DecodedPairs
    ) -> list[Score | Unscored]: ...


@dataclass(frozen=True, slots=True)
class ScoreGate:
    """A limit of a score that the sample has already."""

    rule: Rule
    name: str
    cost: tuple[int, float] = (0, 0)

    def measure(self, samples: Sequence[EditSample], _: DecodedPairs) -> list[Score | Unscored]:
        """Return the samples' own scores."""
        absent = Unscored("the sample has no such score", cause=Cause.MISSING_INPUT)
        return [sample.scores.get(self.name, absent) for sample in samples]


@dataclass(frozen=True, slots=True)
class MaskGate:
    """A limit of the mask; a sample without one may be edited everywhere."""

    rule: Rule
    cost: tuple[int, float] = (0, 1)

    @property
    def name(self) -> str:
        """The measure with the prefix `mask_`."""
        return f"mask_{self.rule.mask}"

    def measure(self, samples: Sequence[EditSample], _: DecodedPairs) -> list[Score | Unscored]:
        """Return the measure of each sample's mask."""
        measure = _area if self.rule.mask == "area" else _outlines
        return [Score(measure(sample.mask)) for sample in samples]


class MetricGate:
    """A limit of a metric, in which the sample's target takes the place of the edited picture."""

    def __init__(self, rule: Rule, name: str, chosen: Chosen) -> None:
        self.rule, self.name = rule, name
        self.chosen = chosen
        self._metrics = MetricSet({name: chosen})

    @property
    def cost(self) -> tuple[int, float]:
        """Metrics without a network come first, networks in the order of their work."""
        metric = self.chosen.metric
        return 2 if getattr(metric, "weights", ()) else 1, getattr(metric, "work", 0.0)

    def use(self, embeddings: Embeddings) -> None:
        """Share a store of embeddings with other gates."""
        self._metrics = MetricSet({self.name: self.chosen}, embeddings)

    def measure(self, samples: Sequence[EditSample], pairs: DecodedPairs) -> list[Score | Unscored]:
        """Return the metric of each sample; pictures of all groups are encoded together."""
        groups = pairs.groups(samples, self.chosen.metric.needs)
        begun = [self._metrics.begin(group) for group in groups]
        return [numbers[self.name] for finish in begun for numbers in finish()]


def make_gate(rule: Rule) -> ScoreGate | MaskGate | MetricGate:
    """Return a rule's gate; RecipeError for a metric that would compare the target with itself."""
    if rule.score is not None:
        return ScoreGate(rule, rule.score)
    if rule.mask is not None:
        return MaskGate(rule)
    assert rule.metric is not None
    spec = parse_spec(rule.metric, "metric")
    compares = "against" in settings_of("metric", spec.kind).model_fields
    settings: Mapping[str, Any] = {**({"against": "source"} if compares else {}), **spec.settings}
    ((name, chosen),) = metrics_of([{**settings, "kind": spec.kind, "name": spec.name}]).items()
    if "target" in chosen.metric.needs:
        raise RecipeError(
            "a filter's metric would compare each target with itself",
            value=spec.name,
            fix="compare it with the source: against=source",
        )
    return MetricGate(rule, name, chosen)


def verdict(gate: Gate, score: Score | Unscored) -> Drop | Fail | None:
    """Return how a sample with this score leaves at a gate; None if it may stay."""
    if isinstance(score, Score):
        reason = gate.rule.broken(gate.name, score.value)
        return None if reason is None else Drop(reason, detail=f"{score.value:.6g}")
    if score.cause.may_pass_later:
        return Fail("not-measured-yet", FailureClass.TRANSIENT, f"{gate.name}: {score.reason}")
    return Drop(_unscored(gate.name), detail=score.reason)


def _unscored(name: str) -> str:
    return f"{name} unscored"


def _area(mask: Image | None) -> float:
    """Return the share of the pixels where editing is allowed, in [0, 1]."""
    return 1.0 if mask is None else float((decode_mask(mask.bytes) > 0).mean())


def _outlines(mask: Image | None) -> float:
    """Return the number of a mask's outer outlines, as UltraEdit counts contours."""
    if mask is None:
        return 1.0
    found, _ = cv2.findContours(decode_mask(mask.bytes), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return float(len(found))
