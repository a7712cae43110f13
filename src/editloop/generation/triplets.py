"""Triplets of texts (caption, instruction, caption after the edit), as seeds and examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from editloop.errors import RecipeError
from editloop.generation.prompts import quoted
from editloop.schema import EditSample, EditType
from editloop.settings import read_yaml
from editloop.sources.text_lists import TextListSettings, TripletsSource

__all__ = ["Triplet", "read_triplets", "seed_triplets", "triplet_of"]


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


def triplet_of(sample: EditSample) -> Triplet | None:
    """Return the texts of a sample; None if it lacks one."""
    before, after = sample.source_caption, sample.target_caption
    if not (before and sample.instruction and after):
        return None
    return Triplet(before, sample.instruction, after, sample.inverse_instruction)


def read_triplets(path: Path | None) -> list[Triplet]:
    """Return the triplets of a file, as the source `triplets` reads it; by default the seeds.

    Raises RecipeError if a row cannot be used.
    """
    if path is None:
        return [triplet for _, triplet in seed_triplets()]
    found = []
    for item in TripletsSource(TextListSettings(path=path)).items():
        if "texts" not in item.parameters:
            raise RecipeError(
                "a row of a list of triplets cannot be used",
                value=f"{path}: {item.parameters['fault']}",
                fix="correct the row, or remove it",
            )
        texts = item.parameters["texts"]
        found.append(
            Triplet(
                texts["source_caption"],
                texts["instruction"],
                texts["target_caption"],
                texts["inverse_instruction"],
            )
        )
    return found


def seed_triplets() -> Sequence[tuple[EditType, Triplet]]:
    """Return the seeds of this package with their edit types; none is from a benchmark."""
    with resources.as_file(resources.files("editloop.generation") / "seeds.yaml") as path:
        content = read_yaml(path)
    return [
        (EditType(kind), Triplet(*texts)) for kind, listed in content.items() for texts in listed
    ]
