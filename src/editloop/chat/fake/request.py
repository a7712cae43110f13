"""A chat request as parsed by the fake model server."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from editloop.images.codec import decode
from editloop.schema import Json, Pixels

__all__ = ["FakeRequest", "read_request"]

_DATA = "data:"


@dataclass(frozen=True)
class FakeRequest:
    """A chat request. `number` counts all requests from 0, `arrival` those with the same body.

    `digest` is a short hash of the body, `format` the requested reply format (`text`,
    `json_object`, `json_schema`), `temperature` None if not set. `texts` and `links` are those of
    all messages, in order.
    """

    model: str
    texts: tuple[str, ...]
    links: tuple[str, ...]
    format: str
    schema: Json | None
    digest: str
    number: int = 0
    arrival: int = 0
    temperature: float | None = None

    @cached_property
    def images(self) -> tuple[bytes, ...]:
        """The encoded pictures; raises ValueError if one is not sent as base64 data."""
        return tuple(_data(link) for link in self.links)

    @cached_property
    def pictures(self) -> tuple[Pixels, ...]:
        """The pictures' pixels; raises ImageError if one cannot be decoded."""
        return tuple(decode(data) for data in self.images)


def read_request(body: bytes, digest: str, number: int, arrival: int) -> FakeRequest:
    """Parse a request's body; raises ValueError if it is invalid."""
    content = json.loads(body)
    if not isinstance(content, dict) or not isinstance(content.get("messages"), list):
        raise ValueError("a request needs `messages`")
    parts = [part for message in content["messages"] for part in _parts(message)]
    wanted = content.get("response_format") or {"type": "text"}
    return FakeRequest(
        model=str(content.get("model", "")),
        texts=tuple(str(part["text"]) for part in parts if part["type"] == "text"),
        links=tuple(part["image_url"]["url"] for part in parts if part["type"] == "image_url"),
        format=str(wanted["type"]),
        schema=wanted.get("json_schema", {}).get("schema"),
        digest=digest,
        number=number,
        arrival=arrival,
        temperature=content.get("temperature"),
    )


def _parts(message: dict[str, Any]) -> Iterator[dict[str, Any]]:
    content = message.get("content")
    if isinstance(content, str):
        yield {"type": "text", "text": content}
    else:
        yield from content or ()


def _data(link: str) -> bytes:
    head, _, text = link.partition(",")
    if not head.startswith(_DATA) or not head.endswith(";base64"):
        raise ValueError(f"a picture is not sent as base64 data: {link[:40]!r}")
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(f"a picture's base64 is broken: {error}") from None
