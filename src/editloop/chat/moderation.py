"""Client of moderation endpoints (`/v1/moderations`); verdicts are stored as replies.

settings = ModerationSettings(target="omni-moderation-latest", base_url="https://.../v1")
found = Moderator(settings, Path("ledger.db")).ask([["make the cat a dog"]])
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from pydantic import model_validator

from editloop.chat.ledger import Ledger, Reply
from editloop.chat.messages import Failed
from editloop.chat.model_server import ModelServer
from editloop.chat.replies import not_a_reply, read_response
from editloop.chat.request_styles import Style
from editloop.chat.settings import ServerSettings, StoredSettings
from editloop.schema import Json, canonical_json

__all__ = ["Categories", "ModerationSettings", "Moderator"]

Categories = tuple[str, ...]  # that a text is flagged for; empty if it is not
_UNNAMED = "unnamed"  # the category of a text that is flagged for none


class ModerationSettings(ServerSettings, StoredSettings):
    """A moderation model, its server, and where its verdicts are kept."""

    OWN: ClassVar[Mapping[str, str | None]] = {"input": None, "model": "target"}

    @model_validator(mode="after")
    def _is_free(self) -> ModerationSettings:
        if self.budget is not None:
            raise ValueError("moderation has no price, so it takes no budget")
        return self


@dataclass(frozen=True)
class _ModerationCall:
    """The call for the verdict on some texts."""

    settings: ModerationSettings
    texts: tuple[str, ...]
    path: ClassVar[str] = "/moderations"
    schema: ClassVar[Json | None] = None
    re_asks: ClassVar[int] = 0
    expense: ClassVar[float] = 0.0

    @cached_property
    def key(self) -> str:
        settings = self.settings
        identity = {
            "endpoint": self.path,
            "model": settings.target,
            "revision": settings.revision,
            "texts": self.texts,
            "repeat": settings.repeat,
            **settings.further,
        }
        text = canonical_json(identity).encode("utf-8", "surrogatepass")
        return hashlib.sha256(text).hexdigest()

    def body(self, style: Style) -> bytes:  # noqa: ARG002
        fields = {**self.settings.body, "model": self.settings.target, "input": list(self.texts)}
        return json.dumps(fields).encode()

    def parse(self, data: bytes) -> Reply:
        """Return the reply, whose text lists each text's categories; raises CallError without."""
        results = read_response(data).get("results")
        if not isinstance(results, list) or len(results) != len(self.texts):
            raise not_a_reply("the response has not one result for each text")
        return Reply(json.dumps([_categories(each) for each in results]), cost=0.0)

    def answer(self, reply: Reply) -> list[Categories]:
        """Return each text's categories from a stored reply."""
        return [tuple(each) for each in json.loads(reply.text)]

    def after(self, reply: Reply, reason: str) -> None:  # noqa: ARG002
        return None


class Moderator:
    """A moderation model at a server, called through a ledger."""

    def __init__(
        self, settings: ModerationSettings, ledger: Ledger | Path, *, run: str | None = None
    ) -> None:
        self._settings = settings
        self._server = ModelServer(settings, ledger, run=run)

    def ask(self, asked: Sequence[Sequence[str]]) -> list[list[Categories] | Failed]:
        """Return the categories of each text of each group, or why a group has no verdict."""
        calls = [_ModerationCall(self._settings, tuple(each)) for each in asked]
        return self._server.ask([(each, each.answer) for each in calls])

    def close(self) -> None:
        """Close the connections."""
        self._server.close()


def _categories(result: Json) -> list[str]:
    """Return the categories of one text; raises CallError if it is no verdict."""
    if not isinstance(result, Mapping) or not isinstance(result.get("flagged"), bool):
        raise not_a_reply("a result does not say whether the text is flagged")
    categories = result.get("categories")
    named = categories if isinstance(categories, Mapping) else {}
    found = sorted(name for name, flagged in named.items() if flagged is True)
    return (found or [_UNNAMED]) if result["flagged"] else []
