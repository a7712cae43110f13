"""CLIP's direction similarity as a rival of the judge, the second row of HQ-Edit's Table 4.

The similarity of the change of the picture to the change of its captions, in [-1, 1], times 100
(arXiv:2404.09990, section 4.2). The paper does not name its CLIP; this is InstructPix2Pix's.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

import numpy as np

from editloop.errors import UnavailableError
from editloop.hub import weights
from editloop.judges.calibration.asking import in_batches
from editloop.judges.calibration.estimates import Floats
from editloop.metrics.clip import VERSION, ClipMetric
from editloop.metrics.embeddings import Embeddings
from editloop.schema import EditedPair, Json, Score

__all__ = ["ClipDirection"]

_MODEL = "openai/clip-vit-large-patch14"


class ClipDirection:
    """The direction similarity of pairs; what is encoded is kept in a folder."""

    def __init__(self, folder: Path, model: str = _MODEL) -> None:
        self._folder = folder
        self._model = model

    @property
    def parameters(self) -> Json:
        """What the numbers depend on besides the pairs; it tells missing weights apart."""
        return [VERSION, self._model, weights.identity(self._model)]

    def points(self, pairs: Iterable[EditedPair]) -> Floats | UnavailableError:
        """Return the similarities in points of 100, NaN where there is none: [pairs].

        An error that names the weights if they are missing.
        """
        absent = self._metric.missing()
        if absent is not None:
            return absent
        scores = [score for batch in in_batches(pairs) for score in self._metric.measure(batch)]
        return np.array([100 * s.value if isinstance(s, Score) else np.nan for s in scores])

    @cached_property
    def _metric(self) -> ClipMetric:
        made = ClipMetric(ClipMetric.Settings(target="direction", model=self._model, crop="none"))
        made.use(Embeddings(self._folder))
        return made
