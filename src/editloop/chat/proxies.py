"""The proxy that calls to a server go through: the environment's, and none to this machine."""

from __future__ import annotations

import socket
import urllib.request
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import urlsplit

__all__ = ["Proxy", "is_loopback", "proxy_for"]

_THIS_MACHINE = {"localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback"}


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy's URL, which may contain a password, and its name without one."""

    url: str = field(repr=False)
    name: str


def proxy_for(url: str) -> Proxy | None:
    """Return the proxy of HTTP_PROXY, HTTPS_PROXY or ALL_PROXY for a URL, or None.

    There is none for this machine and for the hosts in NO_PROXY, where `*.host` means `.host`.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    known = urllib.request.getproxies()
    given = known.get(parts.scheme) or known.get("all")
    excepted = {"no": known.get("no", "").replace("*.", ".")}
    if not given or is_loopback(host):
        return None
    bypasses = urllib.request.proxy_bypass_environment  # type: ignore[attr-defined]  # stubs lack it
    if any(bypasses(each, excepted) for each in (host, parts.netloc)):
        return None
    scheme, mark, rest = given.rpartition("://")
    scheme = scheme if mark else "http"
    # The password may hold any mark, so the host is what follows the last @.
    place = rest.rpartition("@")[2].partition("/")[0]
    return Proxy(f"{scheme}://{rest}", f"{scheme}://{place}")


def is_loopback(host: str) -> bool:
    """Return whether a host's name or address means this machine; nothing is looked up."""
    name = host.rstrip(".").lower().partition("%")[0]
    if name in _THIS_MACHINE or name.endswith(".localhost"):
        return True
    try:
        address = ip_address(name)
    except ValueError:
        try:
            address = ip_address(socket.inet_aton(name))  # such as 127.1
        except OSError:
            return False
    address = getattr(address, "ipv4_mapped", None) or address
    return address.is_loopback or address.is_unspecified
