"""Requests: the bytes to send for a question, and the ledger key of its reply."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import IntEnum

from editloop.chat.messages import Message, Question
from editloop.chat.settings import ChatSettings
from editloop.schema import Json, canonical_json

__all__ = ["Call", "Format", "ReplyFormats", "Style", "follow_up"]

_TOKENS_FIELD, _OTHER_TOKENS_FIELD = "max_tokens", "max_completion_tokens"
_ECHOED = 2000  # characters of an unusable reply sent back to the model


class Format(IntEnum):
    """The way to request a JSON reply; smaller values need more support from the server."""

    JSON_SCHEMA = 0
    JSON_OBJECT = 1
    TEXT = 2


@dataclass(frozen=True, slots=True)
class Call:
    """A call for one reply: the question after `re_ask` unusable replies."""

    settings: ChatSettings
    question: Question
    re_ask: int = 0

    @property
    def temperature(self) -> float:
        """The question's temperature, or else that of the settings."""
        own = self.question.temperature
        return self.settings.temperature if own is None else own

    @property
    def key(self) -> str:
        """The SHA-256 of everything the reply depends on; not time-outs, API keys or concurrency.

        A reply format set by the user counts as part of the schema.
        """
        settings, question = self.settings, self.question
        fixed = settings.reply_format if settings.reply_format != "auto" else None
        identity = {
            "model": settings.target,
            "revision": settings.revision,
            "messages": [message.identity for message in question.messages],
            "temperature": self.temperature,
            "max_tokens": settings.max_tokens,
            "seed": settings.seed,
            "repeat": question.repeat,
            "re_ask": self.re_ask,
            "schema": question.schema,
            "format": fixed if question.schema is not None else None,
        }
        text = canonical_json(identity).encode("utf-8", "surrogatepass")
        return hashlib.sha256(text).hexdigest()

    def body(self, style: Style) -> bytes:
        """Return the request's JSON; pictures are inserted without encoding them again."""
        settings = self.settings
        fields: dict[str, Json] = {
            "model": settings.target,
            "temperature": self.temperature,
            style.tokens_field: settings.max_tokens,
        }
        if settings.seed is not None:
            fields["seed"] = settings.seed + self.question.repeat
        if style.format is not Format.TEXT:
            fields["response_format"] = _response_format(style.format, self.question.schema)
        pieces = [json.dumps(fields)[:-1].encode()]
        for at, message in enumerate(self.question.messages):
            pieces += [b"," if at else b',"messages":[', *message.json]
        return b"".join([*pieces, b"]}"])


def _response_format(form: Format, schema: Json) -> Mapping[str, Json]:
    if form is Format.JSON_OBJECT:
        return {"type": "json_object"}
    named = {"name": "reply", "strict": True, "schema": schema}
    return {"type": "json_schema", "json_schema": named}


def follow_up(question: Question, reply: str, reason: str) -> Question:
    """Return the question followed by its unusable reply and the reason, to ask again.

    Lone surrogates in the reply, which servers reject, are replaced by U+FFFD.
    """
    shown = reply[:_ECHOED].encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    correction = (
        f"That reply cannot be used: {reason}. Answer the question above again, "
        "in exactly the form that it asks for, and write nothing else."
    )
    added = (Message("assistant", (shown or "(empty)",)), Message("user", (correction,)))
    return replace(question, messages=question.messages + added)


@dataclass(frozen=True, slots=True)
class Style:
    """The style of a request: the reply format, and the name of the field for the token limit.

    OpenAI's reasoning models accept only `max_completion_tokens`, older servers only `max_tokens`.
    """

    format: Format
    tokens_field: str


class ReplyFormats:
    """The styles one server is known to accept, by schema; it starts with the strictest format."""

    def __init__(self, settings: ChatSettings) -> None:
        self._fixed: Format | None = None
        if settings.reply_format != "auto":
            self._fixed = Format[settings.reply_format.upper()]
        self._tokens_field = _TOKENS_FIELD
        self._formats: dict[str, Format] = {}

    def style(self, schema: Json | None) -> Style:
        """Return the style of a request for a reply with this schema."""
        form = self._formats.get(canonical_json(schema), Format.JSON_SCHEMA)
        form = form if self._fixed is None else self._fixed
        return Style(Format.TEXT if schema is None else form, self._tokens_field)

    def accepted(self, schema: Json | None, style: Style) -> None:
        """Record that a request in this style was answered."""
        self._tokens_field = style.tokens_field
        self._formats[canonical_json(schema)] = style.format

    def simpler(self, schema: Json | None, style: Style, error: str) -> Style | None:
        """Return the style to try after an error message; None if the style is not the cause.

        A format that was answered before, or that the user set, is not the cause.
        """
        if style.tokens_field == _TOKENS_FIELD and _OTHER_TOKENS_FIELD in error:
            return Style(style.format, _OTHER_TOKENS_FIELD)
        known = self._fixed is not None or canonical_json(schema) in self._formats
        if known or style.format is Format.TEXT:
            return None
        return Style(Format(style.format + 1), style.tokens_field)
