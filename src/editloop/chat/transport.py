"""A single request to a chat server, and its response as a reply or a typed error.

Nothing is retried here. Whatever a server sends, a call raises only `CallError`.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from editloop.chat.ledger import Reply
from editloop.chat.proxies import Proxy, proxy_for
from editloop.chat.settings import ChatSettings, read_key
from editloop.chat.usage import ChatUsage
from editloop.errors import FailureClass, UnavailableError
from editloop.schema import Json

if TYPE_CHECKING:
    import openai

__all__ = ["CallError", "Transport", "check_usable", "parse_reply"]

_CONNECTING = 10.0  # seconds to connect, at most
_MAX_DETAIL = 300  # characters of a server's message to keep
_LARGEST = 2**53  # tokens; a larger count is invalid
_REFUSED, _ELSEWHERE = "refusal", "no content"  # finish reasons of replies that are not stored
_THOUGHTS = ("reasoning", "reasoning_content", "reasoning_details", "thinking")  # of a message
_TOOLS = ("tool_calls", "function_call")
_TEXT_PARTS = (None, "text", "output_text")  # types of a content's parts


@dataclass(eq=False)
class CallError(Exception):
    """A request without a usable reply.

    `retry`: the same request may succeed later. `overload`: the server is overloaded. `wait`:
    seconds it asked to wait. `billed`: it may have cost something without a usable reply. `stop`:
    what makes all other calls fail too, if anything does.
    """

    code: str
    message: str
    failure: FailureClass = FailureClass.TRANSIENT
    retry: bool = True
    overload: bool = False
    wait: float | None = None
    billed: bool = False
    stop: Literal["server", "proxy", "access", "key", "model"] | None = None


_final = partial(CallError, failure=FailureClass.PERMANENT, retry=False)
_filtered = partial(CallError, "filtered", failure=FailureClass.POLICY, retry=False)
_key_rejected = partial(_final, "key-rejected", stop="key")
_MEANINGS: Mapping[str | int, partial[CallError]] = {  # by a server's own code or HTTP status
    "content_filter": _filtered,
    "content_policy_violation": _filtered,
    "moderation_blocked": _filtered,
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


class Transport:
    """The connections to one server; used inside one event loop.

    `route` names the proxy in use, for messages; it is empty without one.
    """

    def __init__(self, settings: ChatSettings) -> None:
        self._settings = settings
        self._secret = read_key(settings.key_env)
        proxy = proxy_for(settings.base_url)
        self.route = "" if proxy is None else f" (through the proxy {_printable(proxy.name)})"
        self._client = _client(settings, self._secret.reveal(), proxy)

    async def send(self, body: bytes) -> bytes:
        """Post a request's JSON; returns the response's body, with the API key masked."""
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
            raise _connection_error(error, self._settings) from None
        return self._secret.hidden(data)

    def unavailable_error(self, error: CallError, counts: ChatUsage) -> UnavailableError | None:
        """Return an UnavailableError if `error` means that no call can succeed, else None."""
        settings = self._settings
        # Replies show that the server runs; some servers forbid single questions, but not all.
        replies = {
            "server": counts.calls,
            "proxy": counts.calls,
            "access": counts.calls + counts.found,
        }
        if error.stop is None or replies.get(error.stop):
            return None
        place = settings.base_url + self.route
        if error.stop == "server":
            return UnavailableError("the server does not respond", value=place)
        if error.stop == "proxy":
            return UnavailableError(
                f"the proxy does not let calls to {settings.base_url} pass", value=error.message
            )
        if error.stop == "model":
            return UnavailableError(
                f"the server at {settings.base_url} has no such model or path",
                value=f"{settings.target} ({error.message})",
            )
        return UnavailableError(
            f"the server at {settings.base_url} rejects calls with this key (${settings.key_env})",
            value=error.message,
            command=f"export {settings.key_env}=KEY",
        )

    async def close(self) -> None:
        await self._client.close()

    def _refusal(self, error: openai.APIStatusError) -> CallError:
        """Return the exception for a status of 400 or more."""
        headers = error.response.headers
        body = error.body if isinstance(error.body, Mapping) else {}
        detail = _printable(self._secret.hidden(error.message.encode("utf-8", "replace")).decode())
        code = str(body.get("code") or body.get("type") or "")
        return _status_error(error.status_code, code, detail, _wait(headers))


def _client(settings: ChatSettings, key: str, proxy: Proxy | None) -> openai.AsyncOpenAI:
    try:
        import httpx2
        import openai
    except ModuleNotFoundError:
        raise UnavailableError(
            "chat servers need the openai package", command="pip install openai"
        ) from None
    try:
        # A transport of its own keeps the client from choosing a proxy by itself.
        transport = httpx2.AsyncHTTPTransport(
            proxy=None if proxy is None else proxy.url, limits=openai.DEFAULT_CONNECTION_LIMITS
        )
    except ImportError:
        assert proxy is not None
        raise UnavailableError(
            "a SOCKS proxy needs the socksio package",
            value=_printable(proxy.name),
            command="pip install socksio",
        ) from None
    except (ValueError, httpx2.InvalidURL):
        assert proxy is not None
        raise UnavailableError(
            "calls cannot go through such a proxy: write http, https or socks5://HOST:PORT",
            value=_printable(proxy.name),
        ) from None
    return openai.AsyncOpenAI(
        http_client=openai.DefaultAsyncHttpxClient(transport=transport),
        api_key=key or "none",  # otherwise the client would read one from the environment
        base_url=settings.base_url,
        max_retries=0,
        timeout=openai.Timeout(settings.timeout, connect=min(settings.timeout / 2, _CONNECTING)),
    )


def _status_error(status: int, code: str, detail: str, wait: float | None) -> CallError:
    """Return the error that a server's code means, or else an HTTP status of 400 or more."""
    other = _OTHER_5XX if status >= 500 else _OTHER_4XX
    error = (_MEANINGS.get(code) or _MEANINGS.get(status) or other)(message=detail)
    if error.retry and wait is not None:
        error.wait = wait
        if status == 429:
            error.message += f" (it asks to wait {wait:g} s)"
    return error


def _connection_error(error: Exception, settings: ChatSettings) -> CallError:
    """Return the error for a time-out or a failed connection."""
    cause = type(error.__cause__).__name__
    connecting = "Connect" in cause
    if cause == "ProxyError":
        detail = f"the proxy refuses: {_printable(str(error.__cause__))}"
        return CallError("connection", detail, stop="proxy")
    if isinstance(error, TimeoutError) or "Timeout" in cause:
        what = "no connection" if connecting else "no whole reply"
        detail = f"{what} within the time allowed ({settings.timeout:g} s)"
        return CallError("timeout", detail, overload=True, billed=not connecting)
    if connecting:
        return CallError("connection", f"nothing answers at {settings.base_url}", stop="server")
    return CallError("connection", f"the connection broke ({cause})", billed=True)


def _wait(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that the server asks to wait, from a number or an HTTP date."""
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
    except (ValueError, TypeError, OverflowError, IndexError):  # invalid dates raise any of these
        return None
    return max(seconds, 0.0) if math.isfinite(seconds) else None


def parse_reply(data: bytes) -> Reply:
    """Parse the reply in a response's body; raises CallError if there is none."""
    try:
        body = json.loads(data)
    except (ValueError, RecursionError):
        raise _not_a_reply("the response is not JSON") from None
    if not isinstance(body, dict):
        raise _not_a_reply("the response is not a JSON object")
    if error := body.get("error"):  # some gateways report errors with status 200
        detail = error.get("message") if isinstance(error, dict) else error
        raise _not_a_reply(f"the response is an error: {detail}")
    choice = _first(body.get("choices"))
    message = choice.get("message")
    if not isinstance(message, dict):
        raise _not_a_reply("the response holds no message")
    usage: Json = body.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    text, finish_reason = _text(message.get("content")), _name(choice.get("finish_reason"))
    if isinstance(message.get("refusal"), str) and message["refusal"]:
        text, finish_reason = message["refusal"], _REFUSED
    elif not text.strip() and (where := _elsewhere(message)):
        text, finish_reason = f"{where} (finish_reason: {finish_reason or 'none'})", _ELSEWHERE
    return Reply(
        text=text,
        model=_name(body.get("model")),
        revision=_name(body.get("system_fingerprint")),
        finish_reason=finish_reason,
        input_tokens=_tokens(usage.get("prompt_tokens")),
        output_tokens=_tokens(usage.get("completion_tokens")),
    )


def check_usable(reply: Reply) -> None:
    """Raise CallError if a content filter refused, or if the reply has no content."""
    if reply.finish_reason in ("content_filter", _REFUSED):
        detail = _printable(reply.text) or "the server's content filter refused"
        raise CallError("filtered", detail, FailureClass.POLICY)
    if reply.finish_reason == _ELSEWHERE:
        raise CallError("empty", _printable(reply.text), FailureClass.PERMANENT)


def _first(choices: Any) -> Mapping[str, Any]:
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise _not_a_reply("the response holds no choices")
    return choices[0]


def _text(content: Json) -> str:
    """Return a message's text, which some servers send as a list of parts."""
    if isinstance(content, list):
        parts = (part for part in content if isinstance(part, dict))
        texts = (part.get("text") for part in parts if part.get("type") in _TEXT_PARTS)
        return "".join(text for text in texts if isinstance(text, str))
    return content if isinstance(content, str) else ""


def _elsewhere(message: Mapping[str, Json]) -> str:
    """Return what a message without content holds instead; empty if nothing."""
    thoughts = [f"`{name}`" for name in _THOUGHTS if message.get(name)]
    content = message.get("content")
    if not thoughts and isinstance(content, list) and content:
        thoughts = ["parts that are no text"]
    if thoughts:
        return (
            f"the reply has no content, only thoughts in {' and '.join(thoughts)}: raise "
            "max_tokens, or make the server put its answers into `content`"
        )
    if tools := [f"`{name}`" for name in _TOOLS if message.get(name)]:
        return f"the reply has no content, only a call of a tool in {' and '.join(tools)}"
    return ""


def _name(value: Json) -> str:
    return value if isinstance(value, str) else ""


def _tokens(value: Json) -> int | None:
    counted = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _LARGEST
    return value if counted else None


def _not_a_reply(message: str) -> CallError:
    return CallError("broken-reply", _printable(message), billed=True)


def _printable(text: str) -> str:
    """Return the start of a server's message, on one line, without control characters."""
    return "".join(each if each.isprintable() else " " for each in text[:_MAX_DETAIL])
