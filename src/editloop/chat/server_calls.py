"""The interface of calls to a model server, whatever their endpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from editloop.chat.ledger import Reply
from editloop.chat.messages import Message
from editloop.chat.request_styles import Style
from editloop.schema import Json

__all__ = ["Body", "Form", "ServerCall"]


@dataclass(frozen=True, slots=True)
class Form:
    """A multipart form: text fields, and files as (file name, bytes, media type)."""

    fields: Mapping[str, str]
    files: Mapping[str, tuple[str, bytes, str]] = field(repr=False)


Body: TypeAlias = bytes | Form  # JSON, or a form


class ServerCall(Protocol):
    """A call for one reply: its request, and how the response is read."""

    @property
    def path(self) -> str:
        """The endpoint below the server's URL."""
        ...

    @property
    def key(self) -> str:
        """The SHA-256 of everything that the reply depends on; the reply's key in the ledger."""
        ...

    @property
    def expense(self) -> Sequence[Message] | float:
        """What the call costs: messages, whose tokens are estimated, or a fixed price in USD."""
        ...

    @property
    def schema(self) -> Json | None:
        """The JSON schema of the reply, if it is JSON."""
        ...

    @property
    def re_asks(self) -> int:
        """How often an unusable reply is asked for again."""
        ...

    def body(self, style: Style) -> Body:
        """Return the request."""
        ...

    def parse(self, data: bytes) -> Reply:
        """Return the reply in a response, with its cost; raises CallError if there is none."""
        ...

    def after(self, reply: Reply, reason: str) -> ServerCall | None:
        """Return the call that asks again after an unusable reply; None if none is left."""
        ...
