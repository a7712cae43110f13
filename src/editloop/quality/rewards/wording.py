"""The words of reward texts, as in Figure 4 of the Multi-Reward paper (arXiv:2411.04713)."""

from __future__ import annotations

import re

__all__ = ["words_of"]

_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")

# Stop words. "not" is one of them: rewards only name what is wrong.
_COMMON_WORDS = """
a about after all also an and any are as at be because been but by can cannot could did do does even
for from had has have in into is it its made more most no not of on only or other out over same so
some such than that the their them then there these they this those to too up very was were what
when where which while with without would
"""
_COMMON = frozenset(_COMMON_WORDS.split())


def words_of(text: str) -> set[str]:
    """Return a text's words, each once, in lower case, without numbers and stop words."""
    found = {match.group() for match in _WORD.finditer(text.lower())}
    return {word for word in found if len(word) > 1 and word not in _COMMON}
