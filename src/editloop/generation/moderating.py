"""The step `moderate`: drop samples whose texts contain words of a list of the user's."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path

from editloop.errors import RecipeError
from editloop.generation.text_step import noted
from editloop.images.codec import content_hash
from editloop.kernel.sample_steps import SampleMap
from editloop.kernel.steps import Drop, Fail
from editloop.schema import EditSample, Json, canonical_json
from editloop.settings import Settings as BaseSettings
from editloop.sources.text_rows import TEXT, read_text_rows, text_in

__all__ = ["Moderate", "ModerateSettings"]

_TEXTS = ("instruction", "inverse_instruction", "source_caption", "target_caption")


class ModerateSettings(BaseSettings):
    """The list: a text file with one word or phrase per line."""

    words: Path


class Moderate(SampleMap):
    """Drop a sample if its instructions or captions contain a word or phrase of the list.

    Whole words count, in any case. The provenance of what stays says what it was checked with
    (`moderated_by`): a sample without it was not moderated.
    """

    Settings = ModerateSettings
    version = "1"

    def __init__(self, settings: ModerateSettings) -> None:
        super().__init__(settings)
        self._words = _read_words(settings.words.expanduser())
        listed = "|".join(map(re.escape, self._words))
        self._pattern = re.compile(rf"(?<!\w)(?:{listed})(?!\w)")
        self._stamp = f"words-{content_hash(canonical_json(self._words).encode())[:12]}"

    @property
    def parameters(self) -> Mapping[str, Json]:
        """The list's content."""
        return {"words": self._stamp}

    def change(self, sample: EditSample) -> EditSample | Drop:
        """Return the sample, noted as moderated, or Drop with the text that has a word."""
        for name in _TEXTS:
            if self._pattern.search(_folded(getattr(sample, name) or "")):
                return Drop(f"its {name} has a word of the list")
        return noted(sample, moderated_by=self._stamp)


def _read_words(path: Path) -> list[str]:
    words = set()
    for row in read_text_rows(path):
        word = text_in(row, TEXT)
        if not isinstance(word, str):
            cause = word.message if isinstance(word, Fail) else "it is empty"
            raise RecipeError("a list of words cannot be read", value=path, fix=cause)
        words.add(_folded(word))
    if not words:
        raise RecipeError("a list of words is empty", value=path, fix="write one word per line")
    return sorted(words)


def _folded(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
