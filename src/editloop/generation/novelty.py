"""Novelty of texts: ROUGE-L and word shingles against every text that was kept before.

The order in which texts of one round arrive does not matter: `novel` decides in the order of their
hashes.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from editloop.sources.hashes import text_hash

__all__ = ["Novelty", "rouge_l"]

_WORD = re.compile(r"\w+")
_SHINGLE = 3  # words


def rouge_l(first: str, second: str) -> float:
    """Return the F1 of ROUGE-L (Lin 2004), from 0 to 1, on words in lower case.

    2 LCS / (m + n), where LCS is the length of the longest common subsequence of m and n words.
    """
    return _rouge_l(_words(first), _words(second))


class Novelty:
    """The texts kept so far; a text too near to one of them is a repeat.

    It is too near at ROUGE-L of at least `rouge`, or if at least the share `shingles` (Jaccard) of
    its sets of three words is shared. Only texts with enough words in common are compared.
    """

    def __init__(self, rouge: float, shingles: float) -> None:
        self._rouge, self._shingles = rouge, shingles
        self._texts: list[list[str]] = []
        self._with_word: dict[str, list[int]] = defaultdict(list)

    def add(self, text: str) -> None:
        """Keep a text, whatever it is near to."""
        words = _words(text)
        for word in {*words}:
            self._with_word[word].append(len(self._texts))
        self._texts.append(words)

    def novel(self, texts: Iterable[str]) -> frozenset[str]:
        """Return the texts that are novel, and keep them; the same in any order of `texts`."""
        found = set()
        for text in sorted({*texts}, key=lambda each: (text_hash(each), each)):
            if not self._is_near(_words(text)):
                self.add(text)
                found.add(text)
        return frozenset(found)

    def _is_near(self, words: Sequence[str]) -> bool:
        common = Counter(at for word in {*words} for at in self._with_word.get(word, ()))
        return any(self._are_near(words, self._texts[at]) for at in common)

    def _are_near(self, first: Sequence[str], second: Sequence[str]) -> bool:
        shared = sum((Counter(first) & Counter(second)).values())
        could = 2 * shared >= self._rouge * (len(first) + len(second))  # LCS is at most `shared`
        if could and _rouge_l(first, second) >= self._rouge:
            return True
        ours, theirs = _shingles(first), _shingles(second)
        return bool(ours | theirs) and len(ours & theirs) >= self._shingles * len(ours | theirs)


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def _shingles(words: Sequence[str]) -> set[tuple[str, ...]]:
    return {tuple(words[at : at + _SHINGLE]) for at in range(len(words) - _SHINGLE + 1)}


def _rouge_l(first: Sequence[str], second: Sequence[str]) -> float:
    if not first or not second:
        return 0.0
    row = [0] * (len(second) + 1)
    for word in first:
        diagonal = 0
        for at, other in enumerate(second, 1):
            diagonal, row[at] = (
                row[at],
                (diagonal + 1 if word == other else max(row[at], row[at - 1])),
            )
    return 2 * row[-1] / (len(first) + len(second))
