"""The prompts of the steps that write texts, by name in `prompts/`, or a user's own file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar

from editloop.chat.prompts import prompt_names, read_prompt
from editloop.kernel.sample_prompts import SamplePrompt
from editloop.schema import Json

__all__ = ["TextPrompt", "quoted", "read_text_prompt", "text_prompt_names"]

_PLACE = ("editloop.generation", "prompts")


class TextPrompt(SamplePrompt):
    """A prompt about a sample, with the step's own numbers and lists as further placeholders."""

    OWN: ClassVar[tuple[str, ...]] = (
        "count",
        "examples",
        "failed",
        "first",
        "instructions",
        "least",
        "most",
        "second",
        "types",
    )


def read_text_prompt(name: str | Path) -> TextPrompt:
    """Read a prompt of this package by its name, or a YAML file; RecipeError if it is invalid."""
    return read_prompt(TextPrompt, name, *_PLACE)


def text_prompt_names() -> list[str]:
    """Return the names of the package's prompts."""
    return prompt_names(*_PLACE)


def quoted(value: Json) -> str:
    """Return text, or an object of texts, as one line of JSON that closes no tag of a prompt."""
    line = json.dumps(value, ensure_ascii=False).replace("<", "\\u003c").replace(">", "\\u003e")
    return "".join(each if each.isprintable() else f"\\u{ord(each):04x}" for each in line)
