"""The step `moderate`: drop samples whose texts are flagged, by words or by a moderation model."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from editloop.chat.messages import Failed
from editloop.chat.moderation import Categories, ModerationSettings, Moderator
from editloop.errors import RecipeError
from editloop.generation.text_step import noted
from editloop.images.codec import content_hash
from editloop.kernel.resources import CPU, NETWORK, Resources
from editloop.kernel.sample_steps import SampleStep
from editloop.kernel.steps import Drop, Fail, Keep, Outcome
from editloop.schema import EditSample, Json, canonical_json
from editloop.settings import Settings as BaseSettings
from editloop.sources.text_rows import TEXT, read_text_rows, text_in

__all__ = ["Moderate", "ModerateSettings"]

_TEXTS = ("instruction", "inverse_instruction", "source_caption", "target_caption")


class ModerateSettings(BaseSettings):
    """The list of words, the moderation model, or both."""

    words: Path | None = Field(
        default=None, description="a text file with one word or phrase per line"
    )
    server: ModerationSettings | None = Field(
        default=None, description="a moderation model: target, base_url and how it is asked"
    )

    @model_validator(mode="after")
    def _has_one(self) -> Self:
        if self.words is None and self.server is None:
            raise ValueError("name `words` (a file), or `server` (a moderation model)")
        return self


class Moderate(SampleStep):
    """Drop a sample if one of its instructions or captions is flagged.

    A text is flagged by a whole word or phrase of the list, in any case, or by the moderation
    model, which gets the texts that the list lets pass. The provenance of what stays says what it
    was checked with (`moderated_by`): a sample without it was not moderated. A sample on which the
    model gives no verdict is quarantined.
    """

    Settings = ModerateSettings
    version = "1"

    def __init__(self, settings: ModerateSettings) -> None:
        super().__init__(settings)
        self._words = [] if settings.words is None else _read_words(settings.words.expanduser())
        listed = "|".join(map(re.escape, self._words))
        self._pattern = re.compile(rf"(?<!\w)(?:{listed})(?!\w)") if self._words else None

    @property
    def resources(self) -> Resources:
        """The network, if a model is asked."""
        return CPU if self.settings.server is None else NETWORK

    @property
    def parameters(self) -> Mapping[str, Json]:
        """The stamps of the list's content and of the model."""
        return self._stamps

    def close(self) -> None:
        """Close the connections."""
        if self.settings.server is not None:
            self._moderator.close()

    def process(self, batch: Sequence[EditSample]) -> list[Outcome]:
        """Return each sample, noted as moderated, or why it is left out."""
        outcomes: dict[int, Outcome] = {}
        for at, sample in enumerate(batch):
            name = next((each for each in _texts(sample) if self._has_word(sample, each)), None)
            if name is not None:
                outcomes[at] = Drop(f"its {name} has a word of the list")
        left = [at for at in range(len(batch)) if at not in outcomes]
        outcomes.update(zip(left, self._asked([batch[at] for at in left]), strict=True))
        return [outcomes[at] for at in range(len(batch))]

    @cached_property
    def _stamps(self) -> dict[str, str]:
        stamps = {}
        if self._words:
            stamps["words"] = f"words-{_hash(self._words)}"
        if (server := self.settings.server) is not None:
            stamps["server"] = f"{server.target}-{_hash(server.identity())}"
        return stamps

    @cached_property
    def _moderator(self) -> Moderator:
        server = self.settings.server
        return Moderator(server, server.ledger.expanduser(), run=server.run)

    def _has_word(self, sample: EditSample, name: str) -> bool:
        return bool(self._pattern and self._pattern.search(_folded(getattr(sample, name))))

    def _asked(self, samples: Sequence[EditSample]) -> Iterator[Outcome]:
        """Yield the outcome of each sample by the moderation model, if there is one."""
        moderated_by = " ".join(self._stamps.values())
        named = [_texts(sample) for sample in samples]
        verdicts: list[list[Categories] | Failed] = [[] for _ in samples]
        if self.settings.server is not None:
            told = [at for at, names in enumerate(named) if names]
            asked = [[getattr(samples[at], name) for name in named[at]] for at in told]
            for at, found in zip(told, self._moderator.ask(asked), strict=True):
                verdicts[at] = found
        for sample, names, found in zip(samples, named, verdicts, strict=True):
            if isinstance(found, Failed):
                yield Fail(found.code, found.failure, found.message, reply_key=found.reply_key)
                continue
            flagged = next((each for each in zip(names, found, strict=False) if each[1]), None)
            if flagged is None:
                yield Keep((noted(sample, moderated_by=moderated_by),))
            else:
                yield Drop(f"its {flagged[0]} is flagged: {flagged[1][0]}")


def _texts(sample: EditSample) -> list[str]:
    """Return the names of the texts that a sample has."""
    return [name for name in _TEXTS if getattr(sample, name)]


def _hash(content: Json) -> str:
    return content_hash(canonical_json(content).encode())[:12]


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
