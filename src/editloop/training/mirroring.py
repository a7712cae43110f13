"""Which edits may be mirrored in training: those whose words stay true.

"Move the cup to the left" is wrong of the mirror image, and mirrored text cannot be read. The words
that name a side or text, in many languages, are in `mirroring.yaml`; words count in any case and
compatibility form (NFKC).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

import yaml

from editloop.schema import EditSample, Json, Score
from editloop.sources.taxonomies import own_kind

__all__ = ["Mirroring"]

_LETTER = r"[^\W\d_]"
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class Mirroring:
    """The rule for mirroring; `side_words` are a user's own words beside the shipped ones.

    A word ending in * also stands for longer ones, a word beginning with * for its parts.
    """

    side_words: tuple[str, ...] = ()

    @property
    def identity(self) -> Json:
        """The words, which decide what is mirrored."""
        return [*_words("sides"), *_words("text"), *self.side_words]

    def allows(self, sample: EditSample) -> bool:
        """Return whether an edit's mirror image fits its words.

        Words that name a side count in all of its texts; words for text in the picture, in its
        instruction and in the data set's own edit type.
        """
        sides, text = _pattern((*_words("sides"), *self.side_words)), _pattern(_words("text"))
        said = _CAMEL.sub(" ", own_kind(sample) or "").replace("_", " ")
        if any(sides.search(_plain(each)) for each in _texts(sample)):
            return False
        return not any(text.search(_plain(each)) for each in (sample.instruction, said))


def _texts(sample: EditSample) -> Iterator[str]:
    """Yield all of an edit's texts."""
    fields = (sample.source_caption, sample.target_caption, sample.inverse_instruction)
    scored = (each.text for each in sample.scores.values() if isinstance(each, Score))
    yield sample.instruction
    yield from (each for each in (*fields, sample.edit_object, *scored) if each)


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


@lru_cache(maxsize=1)
def _shipped() -> Mapping[str, Mapping[str, Sequence[str]]]:
    content = resources.files("editloop.training").joinpath("mirroring.yaml").read_text("utf-8")
    shipped: Mapping[str, Mapping[str, Sequence[str]]] = yaml.safe_load(content)
    return shipped


def _words(kind: str) -> tuple[str, ...]:
    return tuple(word for words in _shipped()[kind].values() for word in words)


@lru_cache
def _pattern(words: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(_regex, words)))


def _regex(word: str) -> str:
    """Return the regular expression of a word; a * within it stands for anything in between."""
    start, end = word.startswith("*"), word.endswith("*")
    body = r"[^.]*?".join(re.escape(part) for part in _plain(word.strip("*")).split("*"))
    return f"{'' if start else f'(?<!{_LETTER})'}{body}{'' if end else f'(?!{_LETTER})'}"
