"""Requests to the fake server's moderation endpoint, and its replies."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from editloop.schema import Json

__all__ = ["Flags", "ModerationRequest", "moderation_reply", "read_moderation_request"]

Flags: TypeAlias = Callable[[str], Sequence[str]]  # the categories that a text is flagged for


@dataclass(frozen=True, slots=True)
class ModerationRequest:
    """The texts to moderate; `number`, `arrival` and `digest` are as in `FakeRequest`."""

    texts: tuple[str, ...]
    digest: str = ""
    number: int = 0
    arrival: int = 0


def read_moderation_request(
    fields: Mapping[str, Json], digest: str, number: int, arrival: int
) -> ModerationRequest:
    """Return the request with these fields; raises KeyError if it has no input."""
    texts = fields["input"]
    listed = [texts] if isinstance(texts, str) else texts
    return ModerationRequest(tuple(map(str, listed)), digest, number, arrival)


def moderation_reply(asked: ModerationRequest, flags: Flags) -> Json:
    """Return the response: for each text whether it is flagged, and the categories."""
    found = [list(flags(text)) for text in asked.texts]
    results = [{"flagged": bool(each), "categories": dict.fromkeys(each, True)} for each in found]
    return {"id": f"modr-{asked.digest}", "model": "fake", "results": results}
