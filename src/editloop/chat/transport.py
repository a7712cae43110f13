"""One request to a chat server, and what its response means: a reply, or an error of known kind.

Nothing is retried here, and nothing that a server sends can make a call raise anything but
`CallError`, or UnavailableError where no call could succeed.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from editloop.chat.ledger import Reply
from editloop.chat.settings import ChatSettings, read_key
from editloop.chat.usage import ChatUsage
from editloop.errors import FailureClass, UnavailableError
from editloop.schema import Json

if TYPE_CHECKING:
    import openai

__all__ = ["CallError", "Transport", "check_usable", "hopeless", "parse_reply"]

_CONNECTING = 10.0  # seconds for a connection, at most
_TOLD = 300  # characters of a server's message that are passed on
_LARGEST = 2**53  # tokens; a count beyond it is no count
_FILTERS = frozenset({"content_filter", "content_policy_violation", "moderation_blocked"})
_REFUSED = "refusal"
_FORBIDDEN = "forbidden"


@dataclass(eq=False)
class CallError(Exception):
    """A request without a usable reply.

    `retry`: the same request may succeed. `overload`: the server does too much. `wait`: seconds it
    asked to wait. `billed`: it may have cost something although nothing usable came. `unreachable`:
    there was no connection at all.
    """

    code: str
    message: str
    failure: FailureClass = FailureClass.TRANSIENT
    retry: bool = True
    overload: bool = False
    wait: float | None = None
    billed: bool = False
    unreachable: bool = False


class Transport:
    """The connections to one server; used inside one event loop."""

    def __init__(self, settings: ChatSettings) -> None:
        self._settings = settings
        self._secret = read_key(settings.key_env)
        self._client = _client(settings, self._secret.reveal())

    async def send(self, body: bytes) -> bytes:
        """Post a request's JSON; the response's body, without the key should it be in it."""
        import openai

        try:
            async with asyncio.timeout(self._settings.timeout):
                data = await self._client.post(
                    "/chat/completions",
                    cast_to=bytes,
                    content=body,
                    options={"headers": {"Content-Type": "application/json"}},
                )
        except openai.APIStatusError as error:
            raise self._refusal(error) from None
        except (openai.APIConnectionError, TimeoutError) as error:
            raise _broken(error, self._settings) from None
        return self._secret.hidden(data)

    async def close(self) -> None:
        await self._client.close()

    def _refusal(self, error: openai.APIStatusError) -> Exception:
        """What a status of 400 and more means."""
        headers = error.response.headers
        body = error.body if isinstance(error.body, Mapping) else {}
        told = _plain(self._secret.hidden(error.message.encode("utf-8", "replace")).decode())
        code = str(body.get("code") or body.get("type") or "")
        return _status_error(error.status_code, code, told, _wait(headers), self._settings)


def _client(settings: ChatSettings, key: str) -> openai.AsyncOpenAI:
    try:
        import openai
    except ModuleNotFoundError:
        raise UnavailableError(
            "asking a chat server needs the openai package", command="pip install openai"
        ) from None
    return openai.AsyncOpenAI(
        api_key=key or "none",  # left out, the client would look for one by itself
        base_url=settings.base_url,
        max_retries=0,
        timeout=openai.Timeout(settings.timeout, connect=min(settings.timeout / 2, _CONNECTING)),
    )


def _status_error(
    status: int, code: str, told: str, wait: float | None, settings: ChatSettings
) -> Exception:
    if code in _FILTERS:
        return CallError("filtered", told, FailureClass.POLICY, retry=False)
    if status in (401, 402) or code == "insufficient_quota":
        return _no_calls(told, settings)
    if status == 403:
        return CallError(_FORBIDDEN, told, FailureClass.PERMANENT, retry=False)
    if status == 404:
        return UnavailableError(
            f"the server at {settings.base_url} knows no such model or path",
            value=f"{settings.target} ({told})",
        )
    return _passing(status, told, wait) or CallError(
        "bad-request", told, FailureClass.PERMANENT, retry=False
    )


def hopeless(
    error: CallError, counts: ChatUsage, settings: ChatSettings
) -> UnavailableError | None:
    """What an error means while nothing was answered: that no call will be.

    Some servers forbid single questions, too: then other replies were had.
    """
    if error.unreachable and not counts.calls:
        return UnavailableError("no server answers", value=settings.base_url)
    if error.code == _FORBIDDEN and not (counts.calls or counts.found):
        return _no_calls(error.message, settings)
    return None


def _no_calls(told: str, settings: ChatSettings) -> UnavailableError:
    return UnavailableError(
        f"the server at {settings.base_url} takes no calls with this key (${settings.key_env})",
        value=told,
        command=f"export {settings.key_env}=KEY",
    )


def _passing(status: int, told: str, wait: float | None) -> CallError | None:
    """A status after which the same request may succeed later."""
    if status == 429:
        if wait is not None:
            told = f"{told} (it asks to wait {wait:g} s)"
        return CallError("rate-limited", told, overload=True, wait=wait)
    if status in (408, 504):
        return CallError("timeout", told, overload=True, wait=wait, billed=True)
    if status >= 500 or status in (409, 425):
        return CallError("server-error", told, overload=status in (503, 529), wait=wait)
    return None


def _broken(error: Exception, settings: ChatSettings) -> CallError:
    """A time-out, or a connection that was not made or did not last."""
    cause = type(error.__cause__).__name__
    connecting = "Connect" in cause
    if isinstance(error, TimeoutError) or "Timeout" in cause:
        what = "no connection" if connecting else "no whole reply"
        told = f"{what} within the time allowed ({settings.timeout:g} s)"
        return CallError("timeout", told, overload=True, billed=not connecting)
    if connecting:
        return CallError("connection", f"nothing answers at {settings.base_url}", unreachable=True)
    return CallError("connection", f"the connection broke ({cause})", billed=True)


def _wait(headers: Mapping[str, str]) -> float | None:
    """Seconds that the server asks to wait: a number, or a date of HTTP."""
    milliseconds, after = headers.get("retry-after-ms"), headers.get("retry-after")
    try:
        if milliseconds is not None:
            seconds = float(milliseconds) / 1000
        elif after is None:
            return None
        elif after.strip()[:1].isdigit():
            seconds = float(after)
        else:
            seconds = (parsedate_to_datetime(after) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError, OverflowError, IndexError):  # all of which odd dates raise
        return None
    return max(seconds, 0.0) if math.isfinite(seconds) else None


def parse_reply(data: bytes) -> Reply:
    """The reply in a response's body, which may yet be unusable; CallError where there is none."""
    try:
        body = json.loads(data)
    except (ValueError, RecursionError):
        raise _not_a_reply("the response is not JSON") from None
    if not isinstance(body, dict):
        raise _not_a_reply("the response is not a JSON object")
    if error := body.get("error"):  # some gateways report errors with status 200
        told = error.get("message") if isinstance(error, dict) else error
        raise _not_a_reply(f"the response is an error: {told}")
    choice = _first(body.get("choices"))
    message = choice.get("message")
    if not isinstance(message, dict):
        raise _not_a_reply("the response holds no message")
    usage: Json = body.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    refused = isinstance(message.get("refusal"), str) and message["refusal"]
    return Reply(
        text=message["refusal"] if refused else _text(message.get("content")),
        model=_name(body.get("model")),
        revision=_name(body.get("system_fingerprint")),
        finish_reason=_REFUSED if refused else _name(choice.get("finish_reason")),
        input_tokens=_tokens(usage.get("prompt_tokens")),
        output_tokens=_tokens(usage.get("completion_tokens")),
    )


def check_usable(reply: Reply) -> None:
    """Raise CallError where a filter refused, or where the reply was cut off."""
    if reply.finish_reason in ("content_filter", _REFUSED):
        told = _plain(reply.text) or "the server's content filter refused"
        raise CallError("filtered", told, FailureClass.POLICY)
    if reply.finish_reason == "length":
        tokens = reply.output_tokens if reply.output_tokens is not None else "too many"
        raise CallError(
            "truncated", f"the reply was cut off after {tokens} tokens", FailureClass.PERMANENT
        )


def _first(choices: Any) -> Mapping[str, Any]:
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise _not_a_reply("the response holds no choices")
    return choices[0]


def _text(content: Json) -> str:
    """A message's content, which a few servers write as a list of parts."""
    if isinstance(content, list):
        parts = (part.get("text") for part in content if isinstance(part, dict))
        return "".join(part for part in parts if isinstance(part, str))
    return content if isinstance(content, str) else ""


def _name(value: Json) -> str:
    return value if isinstance(value, str) else ""


def _tokens(value: Json) -> int | None:
    counted = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _LARGEST
    return value if counted else None


def _not_a_reply(message: str) -> CallError:
    return CallError("broken-reply", _plain(message), billed=True)


def _plain(words: str) -> str:
    """The beginning of a server's words, on one line and without what a terminal would obey."""
    return "".join(each if each.isprintable() else " " for each in words[:_TOLD])
