"""Prompts about a sample: its pictures and texts fill the placeholders."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from editloop.chat.messages import Message
from editloop.chat.prompts import Prompt, encode_picture
from editloop.images.codec import decode
from editloop.schema import EditSample
from editloop.settings import read_yaml, validate

__all__ = ["SamplePrompt", "read_sample_prompt"]


class SamplePrompt(Prompt):
    """A versioned prompt with the fields of an `EditSample` as placeholders."""

    PICTURES: ClassVar[tuple[str, ...]] = ("source", "target", "mask")
    TEXTS: ClassVar[tuple[str, ...]] = (
        "instruction",
        "edit_type",
        "edit_object",
        "source_caption",
        "target_caption",
        "inverse_instruction",
    )

    @property
    def needs(self) -> frozenset[str]:
        """The fields of a sample that the prompt shows."""
        return frozenset({*self.shows, *self.tells})

    def about(
        self, sample: EditSample, own: Mapping[str, str] | None = None
    ) -> tuple[Message, ...]:
        """Return the messages about a sample, which has all fields that the prompt shows.

        `own` are the prompt's further texts by placeholder.
        """
        pictures = {
            name: encode_picture(decode(getattr(sample, name).bytes), self.pictures)
            for name in set(self.shows)
        }
        texts = {name: str(getattr(sample, name)) for name in self.tells}
        return self.filled(texts, pictures, own)


def read_sample_prompt(path: Path | str) -> SamplePrompt:
    """Read a prompt from a YAML file; raises RecipeError if it is not valid."""
    return validate(SamplePrompt, read_yaml(Path(path).expanduser()), where=str(path))
