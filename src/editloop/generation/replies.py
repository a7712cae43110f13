"""Reading the texts in a model's reply; what cannot be used is a ReplyError, never guessed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from editloop.chat.messages import ReplyError
from editloop.judges.replies import DuplicateKeyError, key_of, objects_in, spans_of_objects
from editloop.judges.thoughts import answer_in
from editloop.judges.verdicts import declines
from editloop.schema import Json

__all__ = ["Fields", "choice_of", "entries_of", "fields_of", "text_of", "words_in", "yes_or_no"]

Fields = Mapping[str, Json]

_PLACEHOLDER = re.compile(
    r"[\W_]*|<.*>|\[.*\]|\{.*\}|n/?a|none|null|string|text|caption|instruction"
    r"|(?:your|the) \w+ here",
    re.IGNORECASE | re.DOTALL,
)


def entries_of(reply: str, key: str) -> tuple[Fields, list[Json]]:
    """Return the object that holds the list `key`, and its entries.

    Objects that follow each other without such a list are the entries themselves. Raises ReplyError
    with the code refused, empty or unparseable.
    """
    found = _objects(reply)
    holders = [each for each in found if isinstance(each.get(key), list)]
    if len(holders) > 1:
        raise ReplyError(f"it has several lists {key!r}")
    if holders:
        return holders[0], list(holders[0][key])
    return {}, list(found)


def fields_of(reply: str) -> Fields:
    """Return the one object in a reply, by keys as of `key_of`; errors as of `entries_of`."""
    found = _objects(reply)
    if any(each != found[0] for each in found):
        raise ReplyError("it has several objects that differ")
    return found[0]


def text_of(fields: Json, key: str, words: tuple[int, int] = (1, 1000)) -> str:
    """Return a text on one line, with a number of words in the range `words`.

    Raises ReplyError if it is missing, no text, a placeholder, or too short or long.
    """
    value = fields.get(key_of(key)) if isinstance(fields, Mapping) else None
    if value is None:
        raise ReplyError(f"it has no {key!r}")
    if not isinstance(value, str):
        raise ReplyError(f"its {key!r} is not a text")
    text = " ".join(value.split())
    if _PLACEHOLDER.fullmatch(text) or text.encode("utf-8", "replace").decode() != text:
        raise ReplyError(f"its {key!r} is a placeholder, or empty")
    if not words[0] <= words_in(text) <= words[1]:
        raise ReplyError(f"its {key!r} has not {words[0]} to {words[1]} words")
    return text


def choice_of(fields: Json, key: str, known: Sequence[str]) -> str:
    """Return a value that is one of `known`, in any case; ReplyError if it is none."""
    value = key_of(text_of(fields, key))
    if value not in known:
        raise ReplyError(f"its {key!r} is none of {', '.join(known)}")
    return value


def yes_or_no(fields: Json, key: str) -> bool:
    """Return a value that is yes or no (or true or false); ReplyError if it is neither."""
    value = fields.get(key) if isinstance(fields, Mapping) else None
    if isinstance(value, bool):
        return value
    return choice_of(fields, key, ("yes", "no")) == "yes"


def words_in(text: str) -> int:
    """Return the number of words, separated by spaces."""
    return len(text.split())


def _objects(reply: str) -> list[Fields]:
    answer = answer_in(reply, (), spans_of_objects(reply))
    if answer.thinking or not answer.text.strip():
        raise ReplyError("it has no answer", code="empty")
    try:
        found: list[Fields] = list(objects_in(answer.text))
    except DuplicateKeyError as error:
        raise ReplyError(f"it has the key {error} twice") from None
    if found:
        return found
    if declines(answer.text):
        raise ReplyError("it declines to answer", code="refused")
    raise ReplyError("it has no JSON object")
