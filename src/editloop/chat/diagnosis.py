"""Why all questions of a judge fail alike: the likely cause and its fix, and when to stop."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from editloop.chat.messages import Failed
from editloop.errors import UnavailableError

__all__ = ["FirstAnswers", "address_fix"]

_ENOUGH = 24  # first questions that fail alike
_OF_ONE_QUESTION = frozenset({"filtered", "over-budget"})  # they say nothing of the others
_ADDRESS = re.compile(
    r"web page|unexpected endpoint|no choices|no message|not a JSON object|method not allowed"
    r"|not found|404|405",
    re.I,
)
_CAUSES = [
    (
        re.compile(r"mmproj|multi.?modal|vision|image|picture", re.I),
        "the model or its server takes no pictures",
        "serve a model with vision (llama.cpp: add its projector with --mmproj FILE)",
    ),
    (
        re.compile(r"stream", re.I),
        "the server sends its replies only as a stream",
        'ask for whole replies with body={"stream": false}, or use a server or a gateway that '
        "sends them",
    ),
    (
        re.compile(r"plain HTTP request.*HTTPS|HTTP request was sent to HTTPS", re.I),
        "the server expects https",
        "write https:// in base_url",
    ),
]
_BY_CODE = {
    "timeout": ("it answers too slowly", "raise timeout=SECONDS, or lower concurrency="),
    "rate-limited": ("its rate limit is reached", "lower concurrency=, or go on later"),
    "server-error": ("it fails at every request", "read the log of the server"),
    "connection": ("it breaks every connection", "read the log of the server"),
    "broken-reply": ("it does not speak the protocol", "check base_url"),
    "bad-request": ("it refuses such requests", "change what it names, by the judge's settings"),
    "truncated": ("its replies are too long", "raise max_tokens="),
    "empty": ("its replies have no content", "raise max_tokens=, or turn its thinking off"),
}
_OTHERWISE = (
    "the model does not answer in the form asked for",
    "use another model, or another reply_format=; the replies are in the ledger",
)


class FirstAnswers:
    """The outcomes of a chat's first questions, until one is answered."""

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url
        self._answered = False
        self._failed: Counter[str] = Counter()
        self._running = 0
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Hold a question's turn; before an answer, no more are asked than it takes to stop."""
        async with self._changed:
            await self._changed.wait_for(self._may_start)
            self._running += 1
        try:
            yield
        finally:
            async with self._changed:
                self._running -= 1
                self._changed.notify_all()

    def _may_start(self) -> bool:
        alike = max(self._failed.values(), default=0)
        return self._answered or self._running < max(1, _ENOUGH - alike)

    def answered(self) -> None:
        """Record an answer, after which failures are those of single questions."""
        self._answered = True

    def failed(self, failure: Failed) -> UnavailableError | None:
        """Record a failure; returns an error once the first questions all failed alike."""
        if self._answered or failure.code in _OF_ONE_QUESTION:
            return None
        self._failed[failure.code] += 1
        if self._failed[failure.code] < _ENOUGH:
            return None
        cause, fix = self._likely(failure)
        return UnavailableError(
            f"the first {_ENOUGH} questions to the server at {self._base_url} all failed alike; "
            f"probably {cause}",
            value=f"{failure.code}: {failure.message}",
            fix=fix,
        )

    def _likely(self, failure: Failed) -> tuple[str, str]:
        fix = address_fix(self._base_url)
        if fix is not None and _ADDRESS.search(failure.message):
            return "base_url lacks /v1", fix
        for pattern, cause, remedy in _CAUSES:
            if pattern.search(failure.message):
                return cause, remedy
        return _BY_CODE.get(failure.code, _OTHERWISE)


def address_fix(base_url: str) -> str | None:
    """Return the fix for an address that probably lacks `/v1`, or None if it has a path."""
    url = urlsplit(base_url)
    if url.path.strip("/"):
        return None
    return f"set base_url={url._replace(path='/v1').geturl()}"
