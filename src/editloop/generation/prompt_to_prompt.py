"""The step `prompt-to-prompt`: source and target pictures of text-first samples.

InstructPix2Pix (section 3.1.2 and its released `generate_img_dataset.py`) makes its pairs so.
"""

from __future__ import annotations

from editloop.generation.pair_step import PairSettings, PairStep
from editloop.schema import EditSample

__all__ = ["PromptToPrompt", "PromptToPromptSettings"]


class PromptToPromptSettings(PairSettings):
    """InstructPix2Pix's settings; it makes 100 candidates of each sample."""


class PromptToPrompt(PairStep):
    """Make the source and the target of captions, which share noise and attention."""

    Settings = PromptToPromptSettings

    def refusal(self, sample: EditSample) -> str | None:
        """Refuse a sample that has a picture: it would be lost."""
        if sample.source is None:
            return None
        return (
            "the sample has a source picture, and prompt-to-prompt makes one of its own: take "
            "samples of texts alone, such as those of the source `triplets`"
        )
