"""Settings of a chat server; its API key is read only here."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qsl, urlsplit

from pydantic import Field, field_validator, model_validator

from editloop.errors import RecipeError
from editloop.schema import Json
from editloop.settings import Settings as BaseSettings

__all__ = ["ChatSettings", "Secret", "StoredChatSettings", "read_headers", "read_key"]

# Settings that change how a question is sent and paid for, but not the answer.
_MEANS = frozenset(
    {
        "attempts",
        "base_url",
        "budget",
        "ca_file",
        "concurrency",
        "input_price",
        "key_env",
        "ledger",
        "output_price",
        "run",
        "timeout",
    }
)
_OWN = {  # fields of a request that have a setting, or are the question itself
    "max_tokens": "max_tokens",
    "messages": None,
    "model": "target",
    "n": None,
    "response_format": "reply_format",
    "seed": "seed",
    "temperature": "temperature",
}
_SECRET = re.compile(r"key|token|secret|auth|cookie|password|credential|signature|^sig$", re.I)
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_FROM_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SHORTEST = 8  # characters of a key to mask; keys of local servers are often `x` or `none`


class ChatSettings(BaseSettings):
    """A model behind an OpenAI-compatible server, hosted or local."""

    target: str = Field(min_length=1, description="the model's name at the server")
    base_url: str = Field(description="the server's URL, e.g. http://127.0.0.1:8000/v1")
    revision: str = Field(
        default="", description="the weights' revision, if the name does not fix it"
    )
    key_env: str = Field(
        default="OPENAI_API_KEY", description="the environment variable with the API key, if any"
    )
    headers: dict[str, str] = Field(
        default_factory=dict,
        description="further headers, as JSON; $NAME stands for an environment variable",
    )
    body: dict[str, Any] = Field(
        default_factory=dict, description="further fields of every request, as JSON"
    )
    ca_file: Path | None = Field(
        default=None, description="a PEM file of certificates to trust beside the usual ones"
    )
    temperature: float | None = Field(
        default=0.0, ge=0, le=2, description="sampling temperature; null sends none"
    )
    max_tokens: int = Field(default=1024, ge=1, description="maximum length of a reply")
    seed: int | None = Field(
        default=0, description="sampling seed; repeats add 1, 2, ... to it; null sends none"
    )
    reply_format: Literal["auto", "json_schema", "json_object", "text"] = Field(
        default="auto", description="how to request JSON; auto: the strictest the server supports"
    )
    re_asks: int = Field(
        default=2, ge=0, description="how often to ask again after an unusable reply"
    )
    attempts: int = Field(default=6, ge=1, description="maximum number of requests per reply")
    timeout: float = Field(default=120.0, gt=0, description="seconds per request")
    concurrency: int = Field(
        default=32, ge=1, le=1000, description="maximum number of concurrent requests"
    )
    budget: float | None = Field(default=None, gt=0, description="spending limit in USD")
    input_price: float = Field(default=0.0, ge=0, description="USD per million input tokens")
    output_price: float = Field(default=0.0, ge=0, description="USD per million output tokens")

    @field_validator("base_url")
    @classmethod
    def _is_plain(cls, url: str) -> str:
        parts = urlsplit(url)
        secret = any(map(_SECRET.search, dict(parse_qsl(parts.query, keep_blank_values=True))))
        if parts.username or parts.password or secret or parts.fragment:
            # Not a ValueError, as pydantic would show the value, which may contain a secret.
            raise RecipeError(
                "base_url contains a user name, a password or a key",
                fix="set key_env to the key's environment variable, and base_url to a plain URL",
            )
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("write a plain URL such as http://127.0.0.1:8000/v1")
        if parts.path.rstrip("/").endswith("/chat/completions"):
            raise ValueError("leave out /chat/completions at the end of base_url")
        return parts._replace(path=parts.path.rstrip("/")).geturl()

    @field_validator("key_env")
    @classmethod
    def _is_a_variable(cls, name: str) -> str:
        if not _VARIABLE.fullmatch(name):
            # Not a ValueError either: a user may have written the key itself here.
            raise RecipeError(
                "key_env is not the name of an environment variable",
                fix="put the key into a variable such as OPENAI_API_KEY, and name that in key_env",
            )
        return name

    # Nor are the errors below, as headers and body may hold keys.

    @field_validator("headers", mode="before")
    @classmethod
    def _has_no_secret(cls, value: Json) -> Mapping[str, Json]:
        headers = _mapping(value)
        for name, each in headers.items():
            plain = isinstance(each, str) and each.isascii() and each.isprintable()
            if not _HEADER.fullmatch(str(name)) or not plain:
                raise RecipeError("not a header", value=name, fix="give names and plain values")
            if _SECRET.search(name) and not _FROM_VARIABLE.search(each):
                raise RecipeError(
                    "a header contains a key",
                    value=name,
                    fix=f"put the key into an environment variable, and write {name}: $VARIABLE",
                )
        return headers

    @field_validator("body", mode="before")
    @classmethod
    def _adds_fields(cls, value: Json) -> Mapping[str, Json]:
        body = _mapping(value)
        for name in sorted(body.keys() & _OWN.keys()):
            own = _OWN[name]
            fix = f"set {own} instead" if own else "leave it out: it is set for each question"
            raise RecipeError("a field cannot be given in `body`", value=name, fix=fix)
        if body.get("stream"):
            raise RecipeError(
                "replies are read whole", value="stream", fix="leave `stream` out, or set it false"
            )
        return body

    @model_validator(mode="after")
    def _budget_has_prices(self) -> ChatSettings:
        if self.budget is not None and not (self.input_price or self.output_price):
            raise ValueError("a budget needs prices: set input_price and output_price")
        return self

    def identity(self, *left_out: str) -> dict[str, Json]:
        """Return the settings that can change an answer, without those named."""
        extra = frozenset({"headers", "body"})
        kept: dict[str, Json] = self.model_dump(
            mode="json", exclude=set(_MEANS | extra | {*left_out})
        )
        return {**kept, **self.further}

    @property
    def further(self) -> dict[str, Json]:
        """What is sent beside the usual fields and can change an answer; no keys."""
        headers = {name: v for name, v in self.headers.items() if not _FROM_VARIABLE.search(v)}
        query = dict(parse_qsl(urlsplit(self.base_url).query))
        sent: dict[str, Json] = {"body": self.body, "headers": headers, "query": query}
        return {name: each for name, each in sent.items() if each}

    def price(self, input_tokens: float, output_tokens: float) -> float:
        """Return the cost of these tokens in USD."""
        return (input_tokens * self.input_price + output_tokens * self.output_price) / 1e6


class StoredChatSettings(ChatSettings):
    """A model, its server, and where its replies are kept."""

    ledger: Path = Field(
        default=Path(".editloop/ledger.sqlite"),
        description="the file of all replies, shared by runs so that none is paid for twice",
    )
    run: str | None = Field(
        default=None, description="the run whose budget all of its judges and processes share"
    )
    repeat: int = Field(default=0, ge=0, description="another number asks, and pays, again")

    @property
    def chosen_temperature(self) -> float | None:
        """The temperature if it was set, which then overrides those in prompts; else None."""
        return self.temperature if "temperature" in self.model_fields_set else None


def _mapping(value: Json) -> Mapping[str, Json]:
    """Return a mapping, or the one in a text of JSON."""
    try:
        content = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        content = None
    if not isinstance(content, Mapping):
        raise RecipeError("headers and body are JSON", fix='write them as {"name": "value"}')
    return content


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
    return {name: Secret(_FROM_VARIABLE.sub(_value, each)) for name, each in headers.items()}


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
