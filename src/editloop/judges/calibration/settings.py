"""The settings of a calibration."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, model_validator

from editloop.images.masks import MaskSettings
from editloop.judges.calibration.pairs import VARIANTS
from editloop.schema import EditType

__all__ = ["CalibrationSettings"]

_FEWEST = len(EditType) * VARIANTS  # an edit of each type


class CalibrationSettings(MaskSettings):
    """The number of questions, and other data that a judge is compared with."""

    pairs: int = Field(
        default=448,
        ge=_FEWEST,
        description="pairs with recorded faults; rounded up to 8 for each edit",
    )
    repeats: int = Field(default=3, ge=1, description="times that a subset of the pairs is judged")
    seed: int = Field(default=0, ge=0)
    resamples: int = Field(default=1000, ge=100, description="bootstrap resamples")
    frozen: Path | None = Field(default=None, description="an earlier calibration's frozen.parquet")
    ratings: Path | None = Field(default=None, description="a CSV of people's ratings")
    levels: tuple[float, float] = Field(default=(1, 5), description="the worst and the best rating")
    data: Path | None = Field(default=None, description="the rated data set, if not the pairs")
    layout: str | None = Field(
        default=None, description="layout of the data; detected from its files by default"
    )

    @model_validator(mode="after")
    def _fits_together(self) -> CalibrationSettings:
        if self.data is not None and self.ratings is None:
            raise ValueError("`data` is the rated data set and needs `ratings`")
        if not self.levels[0] < self.levels[1]:
            raise ValueError("`levels` must be the worst and the best rating, such as 1 and 5")
        return self

    @property
    def edits(self) -> int:
        """The number of edits that the pairs are made from."""
        return -(-self.pairs // VARIANTS)
