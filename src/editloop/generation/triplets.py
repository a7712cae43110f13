"""Triplets of texts (caption, instruction, caption after the edit), as seeds and examples."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from editloop.errors import RecipeError
from editloop.generation.prompts import quoted
from editloop.schema import EditSample
from editloop.sources.text_lists import TripletsSettings, TripletsSource

__all__ = ["Triplet", "read_triplets", "triplet_of"]


@dataclass(frozen=True, slots=True)
class Triplet:
    """A caption, an instruction, the caption after it, and the inverse instruction, if known."""

    input: str
    edit: str
    output: str
    inverse: str | None = None

    @property
    def line(self) -> str:
        """The triplet as a line of JSON for a prompt."""
        inverse = {} if self.inverse is None else {"inverse": self.inverse}
        return quoted({"input": self.input, "edit": self.edit, **inverse, "output": self.output})


def triplet_of(sample: EditSample) -> Triplet:
    """Return the texts of a sample; a missing one is empty."""
    before, after = sample.source_caption or "", sample.target_caption or ""
    return Triplet(before, sample.instruction, after, sample.inverse_instruction)


def read_triplets(path: Path | None) -> list[Triplet]:
    """Return the triplets of a file, as the source `triplets` reads it; by default the seeds.

    Raises RecipeError if a row cannot be used.
    """
    found = []
    for item in TripletsSource(TripletsSettings(path=path)).items():
        if "texts" not in item.parameters:
            raise RecipeError(
                "a row of a list of triplets cannot be used",
                value=f"{path}: {item.parameters['fault']}",
                fix="correct the row, or remove it",
            )
        found.append(triplet_of(EditSample(item.id, None, **item.parameters["texts"])))
    return found
