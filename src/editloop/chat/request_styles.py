"""Adapting requests to a server: fields and reply formats that it refuses are left out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

from editloop.chat.settings import ChatSettings
from editloop.schema import Json, canonical_json

__all__ = ["Format", "RequestStyles", "Style"]

_TOKENS_FIELD, _OTHER_TOKENS_FIELD = "max_tokens", "max_completion_tokens"
_FORMAT = re.compile(r"response.?format|json.?(?:schema|object)|structured|guided|grammar", re.I)
_FIELDS = {
    "temperature": re.compile(r"\btemperature\b", re.I),
    "seed": re.compile(r"\bseed\b", re.I),
    "max_tokens": re.compile(r"\bmax_(?:completion_)?tokens\b", re.I),
}


class Format(IntEnum):
    """The way to request a JSON reply; smaller values need more support from the server."""

    JSON_SCHEMA = 0
    JSON_OBJECT = 1
    TEXT = 2


@dataclass(frozen=True, slots=True)
class Style:
    """The style of a request: reply format, name of the field for the token limit, fields left out.

    OpenAI's reasoning models accept only `max_completion_tokens`, older servers only `max_tokens`.
    """

    format: Format
    tokens_field: str = _TOKENS_FIELD
    left_out: frozenset[str] = frozenset()


class RequestStyles:
    """The styles one server is known to accept, by schema; it starts with the strictest format.

    What a server refuses is left out of all later requests. Without `settings` nothing is: requests
    that are no questions to a chat model have one style.
    """

    def __init__(self, settings: ChatSettings | None = None) -> None:
        self._fixed: Format | None = None
        if settings is not None and settings.reply_format != "auto":
            self._fixed = Format[settings.reply_format.upper()]
        self.adapts = settings is not None
        # the limit of tokens bounds the cost
        self._bounded = settings is not None and settings.budget is not None
        self._common: Style | None = None  # the last one that was answered
        self._formats: dict[str, Format] = {}
        self._default = Format.JSON_SCHEMA  # of schemas that were not answered yet

    def style(self, schema: Json | None) -> Style:
        """Return the style of a request for a reply with this schema."""
        base = self._common or Style(Format.JSON_SCHEMA)
        form = self._formats.get(canonical_json(schema), self._default)
        form = form if self._fixed is None else self._fixed
        return replace(base, format=Format.TEXT if schema is None else form)

    def accepted(self, schema: Json | None, style: Style) -> list[str]:
        """Record that a request in this style was answered; return what the server changed."""
        before = self.style(schema)
        self._common = style
        self._formats[canonical_json(schema)] = style.format
        if schema is not None:
            self._default = max(self._default, style.format)
        return list(_changes(before, style))

    def simpler(
        self, schema: Json | None, style: Style, said: Sequence[str], *, named: bool = False
    ) -> Style | None:
        """Return the style to try after a refusal in these words; None if it is not the cause.

        What was answered before, or a format that the user set, is not the cause. If the words name
        nothing that was sent, the format is taken for the cause, unless it must be `named`.
        """
        if not self.adapts:
            return None
        for text in said:
            if (found := self._without_what_is_named(schema, style, text)) is not None:
                return found
        return None if named else self._simpler_format(schema, style)

    def _without_what_is_named(self, schema: Json | None, style: Style, text: str) -> Style | None:
        if style.tokens_field == _TOKENS_FIELD and _OTHER_TOKENS_FIELD in text:
            return replace(style, tokens_field=_OTHER_TOKENS_FIELD)
        if _FORMAT.search(text) and (found := self._simpler_format(schema, style)) is not None:
            return found
        sent = _FIELDS.keys() - style.left_out - ({"max_tokens"} if self._bounded else set())
        for name in sorted(sent, reverse=True):
            if self._common is None and _FIELDS[name].search(text):
                return replace(style, left_out=style.left_out | {name})
        return None

    def _simpler_format(self, schema: Json | None, style: Style) -> Style | None:
        known = self._fixed is not None or canonical_json(schema) in self._formats
        if known or style.format is Format.TEXT:
            return None
        return replace(style, format=Format(style.format + 1))


def _changes(before: Style, after: Style) -> Iterator[str]:
    """Yield what a server made us change."""
    for name in sorted(after.left_out - before.left_out):
        yield f"the server refuses `{name}`: it is left out of all requests"
    if after.tokens_field != before.tokens_field:
        yield f"the server takes `{after.tokens_field}` in place of `{before.tokens_field}`"
    if after.format != before.format:
        told = "in words" if after.format is Format.TEXT else f"by `{after.format.name.lower()}`"
        yield f"the server refuses `{before.format.name.lower()}`: JSON is asked for {told}"
