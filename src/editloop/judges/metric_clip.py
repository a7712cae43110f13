"""The judge `metric-clip`: `metric`, and CLIP on whether the change is the one that captions tell.

Following is the lower of two scores: of how much changed, and of CLIP's direction similarity, which
passes from 0.2 on, InstructPix2Pix's filter (UltraEdit's is 0.22). Its score runs on a straight
line from 0 through 3 there to 5 at 1/3: a published limit and two plain ends, fitted to no data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic import Field

from editloop.darkroom.rewards import PASSING
from editloop.errors import UnavailableError
from editloop.judges.metric import VERSION as METRIC_VERSION
from editloop.judges.metric import MetricJudge
from editloop.metrics.clip import VERSION as CLIP_VERSION
from editloop.metrics.clip import ClipMetric
from editloop.metrics.encoders import Precision
from editloop.schema import OUT_OF_FIVE, PERSPECTIVES, EditedPair, Score, Unscored, Verdict
from editloop.settings import Settings as BaseSettings

if TYPE_CHECKING:
    from editloop.metrics.embeddings import Embeddings

__all__ = ["VERSION", "MetricClipJudge"]

VERSION = f"metric-clip-1 {METRIC_VERSION} clip-{CLIP_VERSION}"

_PASSING_DIRECTION = 0.2
_ASTRAY = "the change is not the one that the captions tell"


class MetricClipJudge:
    """Judges as `metric` does, and following by the captions too; needs weights and both captions.

    Where nothing changed, following is scored without captions. UnavailableError, with the command
    that gets them, where the weights are not on this machine.
    """

    class Settings(BaseSettings):
        """Which CLIP, and how it is used."""

        model: str = Field(
            default="openai/clip-vit-large-patch14", description="a CLIP: hub name or folder"
        )
        precision: Precision = Field(default="fp32", description="of the weights and the work")

    name = "metric-clip"
    perspectives = PERSPECTIVES
    scales = OUT_OF_FIVE

    def __init__(self, settings: MetricClipJudge.Settings) -> None:
        self._metric = MetricJudge()
        # InstructPix2Pix's filter sees whole pictures, not their middle.
        self._direction = ClipMetric(
            ClipMetric.Settings(
                target="direction",
                model=settings.model,
                precision=settings.precision,
                crop="none",
            )
        )
        self.version = f"{VERSION} {settings.model} {settings.precision}"
        self.weights = self._direction.weights

    def missing(self) -> UnavailableError | None:
        """What is not on this machine of the weights, or None; nothing is loaded."""
        return self._direction.missing()

    def use(self, embeddings: Embeddings) -> None:
        """Share a store, so that what metrics encode is encoded once."""
        self._direction.use(embeddings)

    def judge(self, batch: Sequence[EditedPair]) -> list[Verdict]:
        """A verdict a pair."""
        absent = self.missing()
        if absent is not None:
            raise absent
        measured, directions = self._metric.judge(batch), self._direction.measure(batch)
        return [
            {**verdict, "following": self._following(verdict["following"], direction)}
            for verdict, direction in zip(measured, directions, strict=True)
        ]

    def _following(
        self, changed: Score | Unscored, direction: Score | Unscored
    ) -> Score | Unscored:
        if isinstance(changed, Unscored) or not changed.passed:
            return changed
        if isinstance(direction, Unscored):
            return replace(direction, version=self.version)
        value = min(5.0, max(0.0, direction.value * PASSING / _PASSING_DIRECTION))
        if value >= changed.value:
            return Score(changed.value, changed.passed, changed.text, self.version)
        return Score(value, value >= PASSING, _ASTRAY, self.version)
