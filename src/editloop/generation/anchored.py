"""The step `anchored`: targets from real photos, by image-to-image with attention control.

UltraEdit's free-form data (section 3.2 and its released scripts) has photos as anchors: source and
target are generated from a photo with noise. Its released control takes no attention of a pair's
source into its target, since it assumes guidance, which its settings turn off; here it does.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from pydantic import Field

from editloop.editors.asking import Steps
from editloop.generation.pair_step import PairSettings, PairStep
from editloop.images.codec import decode, encode_png
from editloop.models.pairs import Mode, Sampling
from editloop.schema import EditSample, Image, Provenance
from editloop.sources.crops import Crop

__all__ = ["Anchored", "AnchoredSettings"]


class AnchoredSettings(PairSettings):
    """UltraEdit's settings for SDXL-Turbo; it draws the steps from 3, 5 and 8."""

    mode: Mode = "hertz"
    steps: Steps = Field(
        default=8, description="steps of the full schedule; strength x steps are sampled"
    )
    strength: float = Field(
        default=0.6, gt=0, le=1, description="share of the noise schedule that is added"
    )
    guidance: tuple[float, float] = (1.0, 1.0)
    source: Literal["photo", "generated"] = Field(
        default="photo",
        description="photo: it is the source; generated: both pictures are made, as released",
    )

    def sampling(self, side: int) -> Sampling:
        """Return what all pairs of `side` pixels share."""
        return Sampling(self.mode, self.steps, side, self.strength, self.source == "photo")


class Anchored(PairStep):
    """Make targets, or whole pairs, from photos: squares cut from their middle."""

    Settings = AnchoredSettings

    def refusal(self, sample: EditSample) -> str | None:
        """Refuse a sample without a photo."""
        if sample.source is not None:
            return None
        return (
            "the sample has no source picture to start from: take a source of photos, or let "
            "`prompt-to-prompt` make both pictures"
        )

    def prepared(self, sample: EditSample) -> EditSample:
        """Return the sample with its source cut to a square; one that is one stays as it is."""
        pixels = decode(sample.source_image.bytes)
        height, width = pixels.shape[:2]
        if height == width == self.side and self.settings.source == "photo":
            return sample
        square = encode_png(Crop.centre(width, height, self.side).cut(pixels))
        made = sample.provenance or Provenance("", "")
        facts = {key: value for key, value in made.parameters.items() if key != "crop"}
        return replace(
            sample,
            source=Image(square, sample.source_image.path),
            provenance=replace(made, parameters=facts),  # no crop of the photo is the source now
        )
