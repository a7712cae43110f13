"""The similarity of two pictures by self-supervised encoders: DINO and DINOv2.

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
from editloop.metrics.cosines import cosine, scored
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
    precision: Precision = Field(default="fp32", description="of the weights and the work")


class _Similarity:
    """What the two metrics share: all but their encoders."""

    def __init__(self, name: str, model: ImageModel, against: Literal["target", "source"]) -> None:
        self._model, self._against = model, against
        self._embeddings = Embeddings()
        self.name = name
        self.version = VERSION
        self.weights = (model.name,)
        self.needs = frozenset({"edited", against})

    def missing(self) -> UnavailableError | None:
        """What is not on this machine of the weights, or None; nothing is loaded."""
        return missing([self._model])

    def use(self, embeddings: Embeddings) -> None:
        """Share a store, so that what other metrics encode is encoded once."""
        self._embeddings = embeddings

    def measure(self, batch: Sequence[EditedPair]) -> list[Score | Unscored]:
        """The similarity of each pair, in order."""
        return self.begin(batch)()

    def begin(self, batch: Sequence[EditedPair]) -> Callable[[], list[Score | Unscored]]:
        """What gives `measure` when it is called; the pictures are needed no more."""
        references = [pair.source if self._against == "source" else pair.target for pair in batch]
        known = [each is not None for each in references]
        edited = [pair.edited for pair, is_known in zip(batch, known, strict=True) if is_known]
        others = [each for each in references if each is not None]
        vectors = self._embeddings.images_later(self._model, [*edited, *others])
        return lambda: _scores(known, vectors())


def _scores(known: Sequence[bool], vectors: NDArray[np.float32]) -> list[Score | Unscored]:
    """Of those that have a reference: embeddings of edited pictures, then of their references."""
    half = len(vectors) // 2
    values = map(cosine, vectors[:half], vectors[half:])
    return [
        scored(next(values) if is_known else "the case has no target", VERSION)
        for is_known in known
    ]


class DinoMetric(_Similarity):
    """DINO's similarity of the edited picture and the target (or source), in [-1, 1]."""

    class Settings(_Settings):
        """The encoder, and what it compares."""

        model: str = Field(
            default="facebook/dino-vits16", description="a DINO ViT: hub name or folder"
        )

    def __init__(self, settings: DinoMetric.Settings) -> None:
        model = ImageModel(settings.model, "dino", settings.precision)
        super().__init__("dino", model, settings.against)


class Dinov2Metric(_Similarity):
    """DINOv2's similarity of the edited picture and the target (or source), in [-1, 1]."""

    class Settings(_Settings):
        """The encoder, what it compares, and how it sees a picture."""

        model: str = Field(
            default="facebook/dinov2-base", description="a DINOv2: hub name or folder"
        )
        crop: Literal["centre", "nearest"] = Field(
            default="centre",
            description="the release's own resize and crop, or all of it by the nearest pixel and "
            "not normalised (UltraEdit)",
        )

    def __init__(self, settings: Dinov2Metric.Settings) -> None:
        model = ImageModel(settings.model, "dinov2", settings.precision, settings.crop)
        super().__init__("dinov2", model, settings.against)
