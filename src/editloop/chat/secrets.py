"""Keys: where they may stand, and reading them from the environment, which happens only here."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from editloop.errors import RecipeError

__all__ = ["FROM_VARIABLE", "IS_SECRET", "Secret", "read_headers", "read_key"]

IS_SECRET = re.compile(
    r"key|token|secret|auth|cookie|password|credential|signature|^sig$", re.I
)  # names of headers and parameters
FROM_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_SHORTEST = 8  # characters of a key to mask; keys of local servers are often `x` or `none`


class Secret:
    """An API key that is not shown by repr or pickling."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def __repr__(self) -> str:
        return "Secret(...)"

    def __reduce__(self) -> str:
        raise TypeError("a secret cannot be pickled: read it again in the other process")

    def __bool__(self) -> bool:
        return bool(self._value)

    def reveal(self) -> str:
        return self._value

    def hidden(self, data: bytes) -> bytes:
        """Return the bytes with the key masked, in case a server echoed it.

        A key too short to be a secret is not masked, as that could corrupt a reply.
        """
        key = self._value.encode()
        return data if len(key) < _SHORTEST else data.replace(key, b"[key]")


def read_key(variable: str) -> Secret:
    """Read the key from an environment variable; empty if it is not set.

    Raises RecipeError, without showing the value, if it cannot be sent in an HTTP header.
    """
    value = os.environ.get(variable, "").strip()
    if not (value.isascii() and value.isprintable()):
        raise RecipeError(
            "a key has characters that are invalid in an HTTP header",
            value=f"${variable}",
            fix=f"set {variable} to the key alone",
        )
    return Secret(value)


def read_headers(headers: Mapping[str, str]) -> dict[str, Secret]:
    """Return headers with the values of the environment variables that they name.

    Raises RecipeError if one is not set, as a server would only reject the call.
    """
    return {name: Secret(FROM_VARIABLE.sub(_value, each)) for name, each in headers.items()}


def _value(found: re.Match[str]) -> str:
    variable = found[1] or found[2]
    secret = read_key(variable)
    if not secret:
        raise RecipeError(
            "a header names an environment variable that is not set",
            value=f"${variable}",
            fix=f"run `export {variable}=KEY`",
        )
    return secret.reveal()
