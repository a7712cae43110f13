"""The judge `metric-clip`: `metric`, plus CLIP to check the change against the captions.

Following is the lower of two scores: that of the amount of change, and that of CLIP's direction
similarity. The similarity passes from 0.2, the threshold of InstructPix2Pix's filter (UltraEdit's
is 0.22). Its score is linear: 0 at 0, 3 at 0.2 and 5 at 1/3. It is not fitted to any data.
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
    """A judge like `metric` that also checks following by the captions with CLIP.

    It needs CLIP's weights and both captions. If nothing changed, following is scored without
    captions. Raises UnavailableError, with the command that downloads them, if the weights are
    missing.
    """

    class Settings(BaseSettings):
        """The CLIP model and its precision."""

        model: str = Field(
            default="openai/clip-vit-large-patch14", description="a CLIP model: hub name or folder"
        )
        precision: Precision = Field(
            default="fp32", description="precision of weights and computation"
        )

    name = "metric-clip"
    perspectives = PERSPECTIVES
    scales = OUT_OF_FIVE

    def __init__(self, settings: MetricClipJudge.Settings) -> None:
        self._metric = MetricJudge()
        # InstructPix2Pix's filter encodes whole pictures, not their centre crops.
        self._direction = ClipMetric(
            ClipMetric.Settings(
                target="direction", model=settings.model, precision=settings.precision, crop="none"
            )
        )
        self.version = f"{VERSION} {settings.model} {settings.precision}"
        self.weights = self._direction.weights

    def missing(self) -> UnavailableError | None:
        """Return an error that names the missing weights, or None; loads nothing."""
        return self._direction.missing()

    def use(self, embeddings: Embeddings) -> None:
        """Use a shared embedding store, so that each input is encoded once."""
        self._direction.use(embeddings)

    def judge(self, batch: Sequence[EditedPair]) -> list[Verdict]:
        """Return one verdict for each pair."""
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
