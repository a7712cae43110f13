"""Settings of a chat server; its API key is read only here."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from editloop.errors import RecipeError
from editloop.schema import Json
from editloop.settings import Settings as BaseSettings

__all__ = ["ChatSettings", "Secret", "StoredChatSettings", "read_key"]

# Settings that change how a question is sent and paid for, but not the answer.
_MEANS = frozenset(
    {
        "attempts",
        "base_url",
        "budget",
        "concurrency",
        "input_price",
        "key_env",
        "ledger",
        "output_price",
        "run",
        "timeout",
    }
)

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
    temperature: float = Field(default=0.0, ge=0, le=2)
    max_tokens: int = Field(default=1024, ge=1, description="maximum length of a reply")
    seed: int | None = Field(default=0, description="sampling seed; repeats add 1, 2, ... to it")
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
        if parts.username or parts.password or parts.query or parts.fragment:
            # Not a ValueError, as pydantic would show the value, which may contain a secret.
            raise RecipeError(
                "base_url contains a user name, a password or a query",
                fix="set key_env to the key's environment variable, and base_url to a plain URL",
            )
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("write a plain URL such as http://127.0.0.1:8000/v1")
        return url.rstrip("/")

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

    @model_validator(mode="after")
    def _budget_has_prices(self) -> ChatSettings:
        if self.budget is not None and not (self.input_price or self.output_price):
            raise ValueError("a budget needs prices: set input_price and output_price")
        return self

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

    def identity(self, *without: str) -> dict[str, Json]:
        """Return all settings that can change an answer, but those `without`, as JSON."""
        return self.model_dump(mode="json", exclude={*_MEANS, *without})

    @property
    def chosen_temperature(self) -> float | None:
        """The temperature if it was set, which then overrides those in prompts; else None."""
        return self.temperature if "temperature" in self.model_fields_set else None


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
