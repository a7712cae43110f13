"""Similarity of two pictures by self-supervised encoders: DINO and DINOv2.

Caron et al. 2021 (`dino_vits16` in MagicBrush's and Emu Edit's tables) and Oquab et al. 2023
(UltraEdit's filter): the cosine of two class tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from editloop.errors import UnavailableError
from editloop.metrics.cosines import MissingInput, cosine, scored
from editloop.metrics.embeddings import Embeddings
from editloop.metrics.encoders import ImageModel, Precision, missing
from editloop.schema import EditedPair, Score, Unscored
from editloop.settings import Settings as BaseSettings

__all__ = ["VERSION", "DinoMetric", "Dinov2Metric"]

VERSION = "1"


class _Settings(BaseSettings):
    against: Literal["target", "source"] = Field(
        default="target", description="the picture that the edited one is compared with"
    )
    precision: Precision = Field(default="fp32", description="precision of weights and computation")


class _Similarity:
    """The common code of the two metrics."""

    def __init__(self, name: str, model: ImageModel, against: Literal["target", "source"]) -> None:
        self._model, self._against = model, against
        self._embeddings = Embeddings()
        self.name = name
        self.version = VERSION
        self.weights = (model.name,)
        self.needs = frozenset({"edited", against})

    def missing(self) -> UnavailableError | None:
        """Return an error that names the missing weights, or None; loads nothing."""
        return missing([self._model])

    @property
    def work(self) -> float:
        """The work of encoding a picture, to compare metrics by."""
        return self._model.work

    def use(self, embeddings: Embeddings) -> None:
        """Use a shared embedding store, so that each input is encoded once."""
        self._embeddings = embeddings

    def measure(self, batch: Sequence[EditedPair]) -> list[Score | Unscored]:
        """Return the similarity of each pair, in order."""
        return self.begin(batch)()

    def begin(self, batch: Sequence[EditedPair]) -> Callable[[], list[Score | Unscored]]:
        """Return a function that returns the scores; the pictures may be freed before."""
        references = [pair.source if self._against == "source" else pair.target for pair in batch]
        known = [each is not None for each in references]
        edited = [pair.edited for pair, is_known in zip(batch, known, strict=True) if is_known]
        others = [each for each in references if each is not None]
        vectors = self._embeddings.images_later(self._model, [*edited, *others])
        return lambda: _scores(known, vectors())


def _scores(known: Sequence[bool], vectors: NDArray[np.float32]) -> list[Score | Unscored]:
    """Return scores from embeddings of all edited pictures with a reference, then of these."""
    half = len(vectors) // 2
    values = map(cosine, vectors[:half], vectors[half:])
    return [
        scored(next(values) if is_known else MissingInput("the case has no target"), VERSION)
        for is_known in known
    ]


class DinoMetric(_Similarity):
    """DINO's similarity of the edited picture and the target (or source), in [-1, 1]."""

    class Settings(_Settings):
        """The encoder, and the picture to compare with."""

        model: str = Field(
            default="facebook/dino-vits16", description="a DINO ViT: hub name or folder"
        )

    def __init__(self, settings: DinoMetric.Settings) -> None:
        model = ImageModel(settings.model, "dino", settings.precision)
        super().__init__("dino", model, settings.against)


class Dinov2Metric(_Similarity):
    """DINOv2's similarity of the edited picture and the target (or source), in [-1, 1].

    With UltraEdit's preprocessing, which the encoder was not trained on, it is another measure, on
    another scale: `dinov2_ultraedit`.
    """

    class Settings(_Settings):
        """The encoder, the picture to compare with, and the preprocessing."""

        model: str = Field(
            default="facebook/dinov2-base", description="a DINOv2 model: hub name or folder"
        )
        crop: Literal["centre", "nearest"] = Field(
            default="centre",
            description="the release's own resize and crop, or the whole picture resized by "
            "nearest neighbour and not normalised (UltraEdit)",
        )

    def __init__(self, settings: Dinov2Metric.Settings) -> None:
        model = ImageModel(settings.model, "dinov2", settings.precision, settings.crop)
        name = "dinov2" if settings.crop == "centre" else "dinov2_ultraedit"
        super().__init__(name, model, settings.against)
