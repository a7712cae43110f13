"""Tagging of text: the vocabulary's words and phrases, in any spelling or with any ending.

A unit that is not in the vocabulary has no tags. Typos in longer words are tolerated.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from editloop.settings import read_yaml

__all__ = ["Unit", "units", "words"]

_LONGEST = 4  # words in the longest phrase of the vocabulary
_SPELLING = (  # American or variant spelling -> ours; applied to single words
    (r"color", "colour"),
    (r"gray", "grey"),
    (r"center", "centre"),
    (r"(\w{3,})iz(e|ed|es|ing)$", r"\1is\2"),
)
_FORGIVEN = 6  # minimum number of letters for tolerating a typo


@dataclass(frozen=True, slots=True)
class Unit:
    """A word or phrase, with its meanings as tags, such as `group:value`."""

    text: str
    tags: frozenset[str] = frozenset()

    def value(self, group: str) -> str | None:
        """Return the value of this unit's tag in a group, such as "red" for "colour"."""
        return next(
            (tag[len(group) + 1 :] for tag in self.tags if tag.startswith(group + ":")), None
        )


def words(text: str) -> list[str]:
    """Split a text into lower-case words in our spelling, without punctuation."""
    whole = re.sub(r"['\u2019]s\b", "", text.lower().replace("&", " and "))
    plain = re.sub(r"[^a-z0-9]+", " ", whole)
    return [_spelt(word) for word in plain.split()]


def _spelt(word: str) -> str:
    for pattern, ours in _SPELLING:
        word = re.sub(pattern, ours, word)
    return word


def units(tokens: Sequence[str]) -> list[Unit]:
    """Group words into the longest phrases of the vocabulary."""
    found = []
    at = 0
    while at < len(tokens):
        length, unit = _longest(tokens[at : at + _LONGEST])
        found.append(unit)
        at += length
    return found


def _longest(tokens: Sequence[str]) -> tuple[int, Unit]:
    known = _vocabulary()
    for length in range(len(tokens), 0, -1):
        stem = " ".join(tokens[: length - 1])
        for ending in _stems(tokens[length - 1]):
            tags = known.get(f"{stem} {ending}".strip())
            if tags is not None:
                return length, Unit(" ".join(tokens[:length]), tags)
    return 1, _forgiven(tokens[0])


def _stems(word: str) -> Iterator[str]:
    """Yield a word, then its forms without common endings."""
    yield word
    for ending in ("s", "es", "ed", "d", "ing", "ly", "y"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            yield word[: -len(ending)]
            if ending == "ing":
                yield word[:-3] + "e"


def _forgiven(word: str) -> Unit:
    known = _vocabulary()
    if len(word) >= _FORGIVEN:
        like = [other for other in known if other[0] == word[0] and len(other) >= _FORGIVEN]
        close = difflib.get_close_matches(word, like, n=1, cutoff=0.86)
        if close:
            return Unit(word, known[close[0]])
    return Unit(word, frozenset({"filler"}) if word.isdigit() else frozenset())


@lru_cache(maxsize=1)
def _vocabulary() -> Mapping[str, frozenset[str]]:
    """Return the tags of each phrase."""
    content = read_yaml(Path(__file__).with_name("vocabulary.yaml"))
    found: dict[str, set[str]] = {}
    for tag, phrases in content.items():
        for phrase in phrases:
            found.setdefault(" ".join(words(phrase)), set()).add(tag)
    return {phrase: frozenset(tags) for phrase, tags in found.items()}
