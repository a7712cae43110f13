"""From a question to the bytes of a request, and to the key of its reply in the ledger."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import IntEnum

from editloop.chat.messages import Message, Question
from editloop.chat.settings import ChatSettings
from editloop.schema import Json, canonical_json

__all__ = ["Call", "Dialect", "Format", "Style", "re_asked"]

_TOKENS_FIELD, _OTHER_TOKENS_FIELD = "max_tokens", "max_completion_tokens"
_ECHOED = 2000  # characters of an unusable reply that the model is shown again


class Format(IntEnum):
    """How a server is told that a reply is JSON; a smaller one asks more of the server."""

    JSON_SCHEMA = 0
    JSON_OBJECT = 1
    TEXT = 2


@dataclass(frozen=True, slots=True)
class Call:
    """One reply to be had: the question as it stands after `re_ask` unusable replies."""

    settings: ChatSettings
    question: Question
    re_ask: int = 0

    @property
    def temperature(self) -> float:
        """The question's own, or else that of the settings."""
        own = self.question.temperature
        return self.settings.temperature if own is None else own

    @property
    def key(self) -> str:
        """The SHA-256 of all that the reply may depend on; not of time-outs, keys or concurrency.

        A reply format that the user fixed counts as part of the schema.
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
        """The request's JSON; pictures are joined in as they are, never encoded again."""
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


def re_asked(question: Question, reply: str, reason: str) -> Question:
    """The question after a reply that could not be used: the model sees the reply and the reason.

    A lone surrogate in the reply, which no server takes back, is shown as U+FFFD.
    """
    shown = reply[:_ECHOED].encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    said = (
        f"That reply cannot be used: {reason}. Answer the question above again, "
        "in exactly the form that it asks for, and write nothing else."
    )
    added = (Message("assistant", (shown or "(empty)",)), Message("user", (said,)))
    return replace(question, messages=question.messages + added)


@dataclass(frozen=True, slots=True)
class Style:
    """How a request is written: the reply's format, and what the longest reply's field is called.

    OpenAI's reasoning models know only `max_completion_tokens`, older servers only `max_tokens`.
    """

    format: Format
    tokens_field: str


class Dialect:
    """What one server was found to take, by schema; it starts with what asks most of a server."""

    def __init__(self, settings: ChatSettings) -> None:
        self._fixed: Format | None = None
        if settings.reply_format != "auto":
            self._fixed = Format[settings.reply_format.upper()]
        self._tokens_field = _TOKENS_FIELD
        self._formats: dict[str, Format] = {}

    def style(self, schema: Json | None) -> Style:
        """How to write a request for a reply of this schema."""
        form = self._formats.get(canonical_json(schema), Format.JSON_SCHEMA)
        form = form if self._fixed is None else self._fixed
        return Style(Format.TEXT if schema is None else form, self._tokens_field)

    def found(self, schema: Json | None, style: Style) -> None:
        """Remember that a request in this style was answered."""
        self._tokens_field = style.tokens_field
        self._formats[canonical_json(schema)] = style.format

    def simpler(self, schema: Json | None, style: Style, told: str) -> Style | None:
        """What to try after a request was refused with these words; None where style is no cause.

        A format that was answered before, or that the user fixed, is none.
        """
        if style.tokens_field == _TOKENS_FIELD and _OTHER_TOKENS_FIELD in told:
            return Style(style.format, _OTHER_TOKENS_FIELD)
        known = self._fixed is not None or canonical_json(schema) in self._formats
        if known or style.format is Format.TEXT:
            return None
        return Style(Format(style.format + 1), style.tokens_field)
