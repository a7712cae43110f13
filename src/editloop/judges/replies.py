"""A lenient reader of the JSON objects in a model's reply.

It accepts objects in code fences and prose, Python's quotes, trailing commas, and keys in any case.
It does not guess: text that is not an object is skipped, and a duplicate key is an error.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from editloop.schema import Json

__all__ = ["LONGEST", "DuplicateKeyError", "field_of", "key_of", "objects_in", "spans_of_objects"]

LONGEST = 65_536  # characters; an answer to a rubric has a few hundred

_DEEPEST = 16
_MOST_STARTS = 64  # opening braces that are tried; prose with more is not an answer
_TOKEN = re.compile(
    r"""
      (?P<mark>[{}\[\]:,])
    | (?P<double>"(?:[^"\\]|\\.)*")
    | (?P<single>'(?:[^'\\]|\\.|'(?!\s*[,:}\]]))*')  # an apostrophe inside does not end it
    | (?P<word>[^\s{}\[\]:,"']+)
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|U([0-9a-fA-F]{8})|.)|\"", re.DOTALL)
_SPACE = re.compile(r"\s*")
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?")
_WORDS: dict[str, Json] = {"true": True, "false": False, "null": None, "none": None}


class DuplicateKeyError(ValueError):
    """An error for an object with a duplicate key; its message is the key."""


class _NotAnObjectError(ValueError):
    """An error for a brace that does not start an object."""


def objects_in(text: str) -> Iterator[dict[str, Json]]:
    """Yield the outermost objects in a text, with keys by `key_of` and numbers as floats.

    Raises DuplicateKeyError for an object with a duplicate key.
    """
    for _, found in _located(text):
        if isinstance(found, DuplicateKeyError):
            raise found
        yield found


def spans_of_objects(text: str) -> list[tuple[int, int]]:
    """Return where the outermost objects in a text start and end."""
    return [span for span, _ in _located(text)]


def _located(text: str) -> Iterator[tuple[tuple[int, int], dict[str, Json] | DuplicateKeyError]]:
    at = text.find("{")
    for _ in range(_MOST_STARTS):
        if at < 0:
            return
        reader = _Reader(text, at)
        try:
            found: dict[str, Json] | DuplicateKeyError = reader.object()
        except DuplicateKeyError as error:
            found = error
        except _NotAnObjectError:
            at = text.find("{", at + 1)
            continue
        yield (at, reader.at), found
        at = text.find("{", reader.at)


def key_of(name: str) -> str:
    """Return a key without case, spaces and marks: `Negative Prompt` is `negative_prompt`."""
    return re.sub(r"[\W_]+", "_", name.casefold()).strip("_")


def field_of(content: Json, path: str) -> Json | None:
    """Return the value at a path such as `following.score` or `score.0`; None if there is none."""
    for step in path.split("."):
        if isinstance(content, dict):
            content = content.get(key_of(step))
        elif isinstance(content, list) and step.isdigit() and int(step) < len(content):
            content = content[int(step)]
        else:
            return None
    return content


class _Reader:
    """A parser of one value in a text; `at` is its position."""

    def __init__(self, text: str, at: int) -> None:
        self.at = at
        self._text = text

    def object(self, depth: int = 0) -> dict[str, Json]:
        self._take("{")
        found: dict[str, Json] = {}
        while not self._skip("}"):
            key = key_of(str(self._atom()))
            self._take(":")
            if key in found:
                raise DuplicateKeyError(key)
            found[key] = self._value(depth + 1)
            if not self._skip(","):
                self._take("}")
                break
        return found

    def _list(self, depth: int) -> list[Json]:
        self._take("[")
        found: list[Json] = []
        while not self._skip("]"):
            found.append(self._value(depth + 1))
            if not self._skip(","):
                self._take("]")
                break
        return found

    def _value(self, depth: int) -> Json:
        if depth > _DEEPEST:
            raise _NotAnObjectError
        mark = self._peek()
        if mark == "{":
            return self.object(depth)
        if mark == "[":
            return self._list(depth)
        return self._atom()

    def _atom(self) -> Json:
        token = _TOKEN.match(self._text, self._start())
        if token is None or token.lastgroup == "mark":
            raise _NotAnObjectError
        self.at = token.end()
        text = token.group()
        if token.lastgroup == "word":
            return float(text) if _NUMBER.fullmatch(text) else _WORDS.get(text.casefold(), text)
        try:
            return json.loads(f'"{_ESCAPE.sub(_as_json, text[1:-1])}"', strict=False)
        except (ValueError, OverflowError):
            raise _NotAnObjectError from None

    def _start(self) -> int:
        space = _SPACE.match(self._text, self.at)
        return self.at if space is None else space.end()

    def _peek(self) -> str:
        at = self._start()
        return self._text[at : at + 1]

    def _skip(self, mark: str) -> bool:
        """Skip a mark if it is next; return whether it was."""
        at = self._start()
        if self._text[at : at + 1] != mark:
            return False
        self.at = at + 1
        return True

    def _take(self, mark: str) -> None:
        if not self._skip(mark):
            raise _NotAnObjectError


def _as_json(escape: re.Match[str]) -> str:
    """Return the JSON form of a Python escape, or of a double quote in single quotes."""
    code = escape.group(1) or escape.group(2)
    if code is not None:
        return json.dumps(chr(int(code, 16)))[1:-1]
    return {"\\'": "'", '"': '\\"'}.get(escape.group(), escape.group())
