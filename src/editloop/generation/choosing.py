"""The step `best`: the best candidates of each source and instruction go on."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pydantic import Field, field_validator

from editloop.errors import FailureClass
from editloop.generation.candidates import attempt, group_of, number_of
from editloop.kernel.sample_steps import Answer, GroupStep
from editloop.kernel.steps import Drop, Fail, Keep
from editloop.schema import EditSample, Json, Unscored
from editloop.settings import Settings as BaseSettings

__all__ = ["Best", "BestSettings"]


class BestSettings(BaseSettings):
    """How many candidates to keep, and the scores by which they are ranked."""

    keep: int = Field(default=1, ge=1, description="candidates of each group that go on")
    by: tuple[str, ...] = Field(
        min_length=1,
        description="a score, `-SCORE` where low is good, or several, whose product counts",
    )

    @field_validator("by", mode="before")
    @classmethod
    def _is_a_list(cls, value: Json) -> Json:
        return [each.strip() for each in value.split("*")] if isinstance(value, str) else value

    @field_validator("by")
    @classmethod
    def _can_be_ranked_by(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if not name.removeprefix("-"):
                raise ValueError("a score has no name")
            if name.startswith("-") and len(value) > 1:
                raise ValueError(f"{name!r}: a product takes only scores where high is good")
        return value


class Best(GroupStep):
    """Keep the best candidates of each group; the others are dropped and are attempts.

    A group has one parent (`parent_id`) and one instruction. Equal candidates rank by their number.
    A candidate without one of the scores is quarantined. Both the kept and the other candidates are
    listed among the attempts, the kept ones as chosen.
    """

    Settings = BestSettings
    needs = frozenset({"instruction"})

    def group(self, sample: EditSample) -> str:
        return group_of(sample)

    def answer(self, samples: Sequence[EditSample]) -> Sequence[Answer]:
        """Return Keep for the best `keep` of a group, and Drop for the others."""
        values = [self._value(sample) for sample in samples]
        ranked = sorted(
            (-value, number_of(sample), sample.id)
            for sample, value in zip(samples, values, strict=True)
            if isinstance(value, float)
        )
        kept = {name for *_, name in ranked[: self.settings.keep]}
        return [
            value if isinstance(value, Fail) else self._settled(sample, value, kept)
            for sample, value in zip(samples, values, strict=True)
        ]

    def _settled(self, sample: EditSample, value: float, kept: set[str]) -> Keep | Drop:
        if sample.id in kept:
            return Keep((sample,), (attempt(sample, chosen=True),))
        named = " * ".join(self.settings.by)
        told = f"not among the best: {named} is {value:g}"
        return Drop("not among the best", (attempt(sample, reason=told),))

    def _value(self, sample: EditSample) -> float | Fail:
        """Return the number by which a candidate is ranked, or why there is none."""
        values = []
        for signed in self.settings.by:
            name = signed.removeprefix("-")
            score = sample.scores.get(name)
            if score is None or isinstance(score, Unscored):
                reason = "the sample has no such score" if score is None else score.reason
                return Fail("not-scored", FailureClass.PERMANENT, f"{name}: {reason}")
            values.append(-score.value if signed.startswith("-") else score.value)
        if len(values) > 1 and min(values) < 0:
            negative = self.settings.by[values.index(min(values))]
            message = f"{negative} is negative: a product of scores needs scores from 0"
            return Fail("not-ranked", FailureClass.PERMANENT, message)
        return math.prod(values)
