"""The one error of a request, and what a server's codes and HTTP statuses mean."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

from editloop.errors import FailureClass

__all__ = ["CallError", "is_safety", "printable", "status_error"]

_MAX_DETAIL = 300  # characters of a server's message to keep
_SAFETY = re.compile(
    r"content.?(?:filter|policy)|data.?inspection|moderation|guardrail|safety|prohibited|"
    r"blocklist|recitation|^spii$|^sensitive|responsible.?ai",
    re.IGNORECASE,
)


@dataclass(eq=False)
class CallError(Exception):
    """A request without a usable reply.

    `retry`: the same request may succeed later. `overload`: the server is overloaded. `wait`:
    seconds it asked to wait. `billed`: it may have cost something without a usable reply. `stop`:
    what makes all other calls fail too, if anything does. `status` is the HTTP status, and `said`
    the server's words in full, the field that it names first.
    """

    code: str
    message: str
    failure: FailureClass = FailureClass.TRANSIENT
    retry: bool = True
    overload: bool = False
    wait: float | None = None
    billed: bool = False
    stop: Literal["server", "proxy", "access", "key", "model", "tls"] | None = None
    status: int | None = None
    said: tuple[str, ...] = ()


_final = partial(CallError, failure=FailureClass.PERMANENT, retry=False)
_filtered = partial(CallError, "filtered", failure=FailureClass.POLICY, retry=False)
_key_rejected = partial(_final, "key-rejected", stop="key")
_MEANINGS: Mapping[str | int, partial[CallError]] = {  # by a server's own code or HTTP status
    "insufficient_quota": _key_rejected,
    401: _key_rejected,
    402: _key_rejected,
    403: partial(_final, "forbidden", stop="access"),
    404: partial(_final, "not-found", stop="model"),
    407: partial(_final, "proxy-rejected", stop="proxy"),
    408: partial(CallError, "timeout", overload=True, billed=True),
    409: partial(CallError, "server-error"),
    425: partial(CallError, "server-error"),
    429: partial(CallError, "rate-limited", overload=True),
    503: partial(CallError, "server-error", overload=True),
    504: partial(CallError, "timeout", overload=True, billed=True),
    529: partial(CallError, "server-error", overload=True),
}
_OTHER_4XX, _OTHER_5XX = partial(_final, "bad-request"), partial(CallError, "server-error")


def is_safety(code: str) -> bool:
    """Return whether a server's code or finish reason says that a content filter refused."""
    return bool(_SAFETY.search(code))


def status_error(status: int, code: str, detail: str, wait: float | None = None) -> CallError:
    """Return the error that a server's code means, or else an HTTP status of 400 or more."""
    other = _OTHER_5XX if status >= 500 else _OTHER_4XX
    meaning = _MEANINGS.get(code) or (_filtered if is_safety(code) else None)
    error = (meaning or _MEANINGS.get(status) or other)(message=detail, status=status)
    if error.retry and wait is not None:
        error.wait = wait
        if status == 429:
            error.message += f" (it asks to wait {wait:g} s)"
    return error


def printable(text: str) -> str:
    """Return the start of a server's message, on one line, without control characters."""
    return "".join(each if each.isprintable() else " " for each in text[:_MAX_DETAIL])
