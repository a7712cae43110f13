"""Requests to a chat model: the bytes to send for a question, and the ledger key of its reply."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from editloop.chat.ledger import Reply
from editloop.chat.messages import Message, Question
from editloop.chat.replies import parse_reply
from editloop.chat.request_styles import Format, Style
from editloop.chat.settings import ChatSettings
from editloop.schema import Json, canonical_json

__all__ = ["Call", "follow_up"]

_ECHOED = 2000  # characters of an unusable reply sent back to the model


@dataclass(frozen=True, slots=True)
class Call:
    """A call for one reply: the question after `re_ask` unusable replies."""

    settings: ChatSettings
    question: Question
    re_ask: int = 0
    path: ClassVar[str] = "/chat/completions"

    @property
    def expense(self) -> Sequence[Message]:
        """The messages."""
        return self.question.messages

    @property
    def schema(self) -> Json | None:
        """The question's schema."""
        return self.question.schema

    @property
    def re_asks(self) -> int:
        """The setting of that name."""
        return self.settings.re_asks

    @property
    def temperature(self) -> float | None:
        """The question's temperature, or else that of the settings; None sends none."""
        own = self.question.temperature
        chosen = self.settings.temperature
        return chosen if own is None or chosen is None else own

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
            **settings.further,
        }
        text = canonical_json(identity).encode("utf-8", "surrogatepass")
        return hashlib.sha256(text).hexdigest()

    def body(self, style: Style) -> bytes:
        """Return the request's JSON; pictures are inserted without encoding them again."""
        settings = self.settings
        seed = None if settings.seed is None else settings.seed + self.question.repeat
        fields: dict[str, Json] = {**settings.body, "model": settings.target}
        named = {"temperature": self.temperature, "max_tokens": settings.max_tokens, "seed": seed}
        for name, value in named.items():
            if value is not None and name not in style.left_out:
                fields[style.tokens_field if name == "max_tokens" else name] = value
        if style.format is not Format.TEXT:
            fields["response_format"] = _response_format(style.format, self.question.schema)
        pieces = [json.dumps(fields)[:-1].encode()]
        for at, message in enumerate(self.question.messages):
            pieces += [b"," if at else b',"messages":[', *message.json]
        return b"".join([*pieces, b"]}"])

    def parse(self, data: bytes) -> Reply:
        """Return the reply in a response, priced by its tokens; raises CallError without one."""
        reply = parse_reply(data)
        if reply.input_tokens is None or reply.output_tokens is None:
            return reply
        return replace(reply, cost=self.settings.price(reply.input_tokens, reply.output_tokens))

    def after(self, reply: Reply, reason: str) -> Call | None:
        """Return the call that tells the reason; None after the last re-ask."""
        if self.re_ask == self.re_asks:
            return None
        question = follow_up(self.question, reply.text, reason)
        return Call(self.settings, question, self.re_ask + 1)


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
