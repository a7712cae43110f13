"""What a calibration asks, and how much."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, model_validator

from editloop.judges.calibration.pairs import VARIANTS
from editloop.schema import EditType
from editloop.settings import Settings as BaseSettings

__all__ = ["CalibrationSettings"]

_FEWEST = len(EditType) * VARIANTS  # an edit of each type


class CalibrationSettings(BaseSettings):
    """How much a judge is asked, and what else it is compared with."""

    pairs: int = Field(
        default=448, ge=_FEWEST, description="with recorded faults, rounded up to 8 of each edit"
    )
    repeats: int = Field(default=3, ge=1, description="how often some of them are judged")
    seed: int = Field(default=0, ge=0)
    resamples: int = Field(default=1000, ge=100, description="of the bootstrap")
    frozen: Path | None = Field(default=None, description="an earlier calibration's frozen.parquet")
    ratings: Path | None = Field(default=None, description="a CSV of what people said")
    levels: tuple[float, float] = Field(default=(1, 5), description="the worst and best rating")
    data: Path | None = Field(default=None, description="the data that was rated, if not the pairs")
    layout: str | None = Field(default=None, description="of the data; found by its files, if not")

    @model_validator(mode="after")
    def _fits_together(self) -> CalibrationSettings:
        if self.data is not None and self.ratings is None:
            raise ValueError("`data` is what was rated: give `ratings` too")
        if not self.levels[0] < self.levels[1]:
            raise ValueError("`levels` run from the worst to the best, as 1 and 5")
        return self

    @property
    def edits(self) -> int:
        """How many edits the pairs are made of."""
        return -(-self.pairs // VARIANTS)
