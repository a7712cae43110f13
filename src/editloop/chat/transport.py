"""A single request to a model server, and its response as a reply or a typed error.

Nothing is retried here. Whatever a server sends, a call raises only `CallError`.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from typing import TYPE_CHECKING

from editloop.chat.call_errors import CallError, is_safety, printable, status_error
from editloop.chat.connection import open_client
from editloop.chat.diagnosis import address_fix
from editloop.chat.proxies import proxy_for
from editloop.chat.secrets import read_headers, read_key
from editloop.chat.server_calls import Body, Form
from editloop.chat.settings import ServerSettings
from editloop.chat.usage import ChatUsage
from editloop.chat.waits import seconds_to_wait
from editloop.errors import UnavailableError
from editloop.schema import Json

if TYPE_CHECKING:
    import openai

__all__ = ["Transport"]


class Transport:
    """The connections to one server; used inside one event loop.

    `route` names the proxy in use, for messages; it is empty without one.
    """

    def __init__(self, settings: ServerSettings) -> None:
        self._settings = settings
        key, headers = read_key(settings.key_env), read_headers(settings.headers)
        self._secrets = [key, *headers.values()]
        self._signed = bool(key) or "authorization" in map(str.lower, headers)
        proxy = proxy_for(settings.base_url)
        self.route = "" if proxy is None else f" (through the proxy {printable(proxy.name)})"
        self._client = open_client(settings, key, headers, proxy)

    async def send(self, path: str, body: Body) -> bytes:
        """Post a request; returns the response's body, with the API key masked."""
        import openai

        unsigned: dict[str, openai.Omit] = {} if self._signed else {"Authorization": openai.Omit()}
        try:
            async with asyncio.timeout(self._settings.timeout):
                if isinstance(body, Form):
                    data = await self._client.post(
                        path,
                        cast_to=bytes,
                        body=body.fields,
                        files=body.files,
                        options={"headers": {"Content-Type": "multipart/form-data", **unsigned}},
                    )
                else:
                    data = await self._client.post(
                        path,
                        cast_to=bytes,
                        content=body,
                        options={"headers": {"Content-Type": "application/json", **unsigned}},
                    )
        except openai.APIStatusError as error:
            raise self._refusal(error) from None
        except (openai.APIConnectionError, TimeoutError) as error:
            raise _connection_error(error, self._settings) from None
        return self._hidden(data)

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
        if error.stop == "tls":
            return UnavailableError(
                error.message,
                value=place,
                fix="give its certificate, or that of the authority which signed it, as a PEM "
                "file: ca_file=FILE",
            )
        if error.stop == "model":
            return UnavailableError(
                f"the server at {settings.base_url} has no such model or path",
                value=f"{settings.target} ({error.message})",
                fix=address_fix(settings.base_url) or "name a model that the server lists",
            )
        return UnavailableError(
            f"the server at {settings.base_url} rejects calls with this key (${settings.key_env})",
            value=error.message,
            command=f"export {settings.key_env}=KEY",
        )

    async def close(self) -> None:
        await self._client.close()

    def _hidden(self, data: bytes) -> bytes:
        for secret in self._secrets:
            data = secret.hidden(data)
        return data

    def _refusal(self, error: openai.APIStatusError) -> CallError:
        """Return the exception for a status of 400 or more."""
        whole = self._hidden(error.response.content).decode("utf-8", "replace")
        body = _content(error)
        detail = self._hidden(_detail(body, error).encode("utf-8", "replace")).decode()
        wait = seconds_to_wait(error.response.headers, body, detail)
        found = status_error(error.status_code, _code(body), printable(detail), wait)
        found.said = (_named_field(body), detail, whole)
        return found


def _content(error: openai.APIStatusError) -> Json:
    """Return a refusal's JSON; some servers wrap it in a list."""
    try:
        body = error.response.json()
    except ValueError:
        return {}
    return body[0] if isinstance(body, list) and body else body


def _inner(body: Json) -> Mapping[str, Json]:
    body = body if isinstance(body, Mapping) else {}
    inner = body.get("error")
    return inner if isinstance(inner, Mapping) else body


def _detail(body: Json, error: openai.APIStatusError) -> str:
    """Return the server's own words."""
    told = _inner(body).get("message")
    return told if isinstance(told, str) and told else error.message


def _code(body: Json) -> str:
    """Return the server's own code for a refusal, a content filter's first."""
    inner = _inner(body)
    nested = inner.get("innererror")
    nested = nested.get("code") if isinstance(nested, Mapping) else None
    codes = [str(each) for each in (nested, inner.get("code"), inner.get("type")) if each]
    return next((each for each in codes if is_safety(each)), "") or next(
        (each for each in codes if not each.isdigit() and each != nested), ""
    )


def _named_field(body: Json) -> str:
    """Return the field of the request that a refusal names, as OpenAI and FastAPI do."""
    if isinstance(param := _inner(body).get("param"), str):
        return param
    details = body.get("detail") if isinstance(body, Mapping) else None
    places = (
        [each.get("loc") for each in details if isinstance(each, Mapping)]
        if isinstance(details, list)
        else []
    )
    return " ".join(str(part) for place in places if isinstance(place, list) for part in place)


def _connection_error(error: Exception, settings: ServerSettings) -> CallError:
    """Return the error for a time-out or a failed connection."""
    cause = type(error.__cause__).__name__
    connecting = "Connect" in cause
    if cause == "ProxyError":
        detail = f"the proxy refuses: {printable(str(error.__cause__))}"
        return CallError("connection", detail, stop="proxy")
    if isinstance(error, TimeoutError) or "Timeout" in cause:
        what = "no connection" if connecting else "no whole reply"
        detail = f"{what} within the time allowed ({settings.timeout:g} s)"
        return CallError("timeout", detail, overload=True, billed=not connecting)
    if (told := _tls_error(error)) is not None:
        return CallError("connection", told, retry=False, stop="tls")
    if connecting:
        return CallError("connection", f"nothing answers at {settings.base_url}", stop="server")
    return CallError("connection", f"the connection broke ({cause})", billed=True)


def _tls_error(error: BaseException | None) -> str | None:
    """Return what is wrong with a server's certificate or encryption, or None."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return f"the server's certificate is not trusted: {error.verify_message}"
        if isinstance(error, ssl.SSLError):
            reason = (error.reason or str(error)).replace("_", " ").lower()
            return f"no encrypted connection to the server: {reason}"
        error = error.__cause__ or error.__context__
    return None
