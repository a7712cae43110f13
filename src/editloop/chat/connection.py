"""The HTTP client of a chat server: its proxy, certificates, headers and time limits."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from editloop.chat.call_errors import printable
from editloop.chat.proxies import Proxy
from editloop.chat.secrets import Secret
from editloop.chat.settings import ServerSettings
from editloop.errors import RecipeError, UnavailableError

if TYPE_CHECKING:
    import openai

__all__ = ["open_client"]

_CONNECTING = 10.0  # seconds to connect, at most


def open_client(
    settings: ServerSettings, key: Secret, headers: Mapping[str, Secret], proxy: Proxy | None
) -> openai.AsyncOpenAI:
    """Return a client without retries; raises UnavailableError if a package is missing."""
    try:
        import httpx2
        import openai
    except ModuleNotFoundError:
        raise UnavailableError(
            "model servers need the openai package", command="pip install openai"
        ) from None
    try:
        # A transport of its own keeps the client from choosing a proxy by itself.
        transport = httpx2.AsyncHTTPTransport(
            proxy=None if proxy is None else proxy.url,
            limits=openai.DEFAULT_CONNECTION_LIMITS,
            verify=True if settings.ca_file is None else _trusting(settings.ca_file),
        )
    except ImportError:
        assert proxy is not None
        raise UnavailableError(
            "a SOCKS proxy needs the socksio package",
            value=printable(proxy.name),
            command="pip install socksio",
        ) from None
    except (ValueError, httpx2.InvalidURL):
        assert proxy is not None
        raise UnavailableError(
            "calls cannot go through such a proxy: write http, https or socks5://HOST:PORT",
            value=printable(proxy.name),
        ) from None
    own = {name: each.reveal() for name, each in headers.items()}
    url = urlsplit(settings.base_url)
    return openai.AsyncOpenAI(
        http_client=openai.DefaultAsyncHttpxClient(transport=transport),
        api_key=key.reveal() or "none",  # otherwise the client would read one from the environment
        base_url=url._replace(query="").geturl(),
        default_headers=own,
        default_query=dict(parse_qsl(url.query)),
        max_retries=0,
        timeout=openai.Timeout(settings.timeout, connect=min(settings.timeout / 2, _CONNECTING)),
    )


def _trusting(file: Path) -> ssl.SSLContext:
    """Return a context that also trusts the certificates in a PEM file."""
    trusted = ssl.create_default_context()
    try:
        trusted.load_verify_locations(file.expanduser())
    except (OSError, ssl.SSLError) as error:
        raise RecipeError(
            "ca_file has no certificates",
            value=f"{file} ({getattr(error, 'strerror', None) or error})",
            fix="give a PEM file: its lines begin with -----BEGIN CERTIFICATE-----",
        ) from None
    return trusted
