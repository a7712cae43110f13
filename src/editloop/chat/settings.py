"""Which chat server is asked, how, and with which key; the key is read here and nowhere else."""

from __future__ import annotations

import os
import re
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from editloop.errors import RecipeError
from editloop.settings import Settings as BaseSettings

__all__ = ["ChatSettings", "Secret", "read_key"]

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SHORTEST = 8  # characters of a key worth hiding; local servers are given such as `x` or `none`


class ChatSettings(BaseSettings):
    """A model behind an OpenAI-compatible server, hosted or local."""

    target: str = Field(min_length=1, description="the model's name at the server")
    base_url: str = Field(description="where the server is, e.g. http://127.0.0.1:8000/v1")
    revision: str = Field(
        default="", description="the weights' revision, where the name doesn't pin it"
    )
    key_env: str = Field(
        default="OPENAI_API_KEY", description="the environment variable that holds the key, if any"
    )
    temperature: float = Field(default=0.0, ge=0, le=2)
    max_tokens: int = Field(default=1024, ge=1, description="the longest reply")
    seed: int | None = Field(default=0, description="sampling seed; repeats add 1, 2, ... to it")
    reply_format: Literal["auto", "json_schema", "json_object", "text"] = Field(
        default="auto", description="how a JSON reply is asked for; auto: the best the server takes"
    )
    re_asks: int = Field(default=2, ge=0, description="how often an unusable reply is asked again")
    attempts: int = Field(default=6, ge=1, description="requests for one reply, at most")
    timeout: float = Field(default=120.0, gt=0, description="seconds for one request")
    concurrency: int = Field(default=32, ge=1, le=1000, description="requests in flight, at most")
    budget: float | None = Field(default=None, gt=0, description="USD that may be spent")
    input_price: float = Field(default=0.0, ge=0, description="USD per million tokens read")
    output_price: float = Field(default=0.0, ge=0, description="USD per million tokens written")

    @field_validator("base_url")
    @classmethod
    def _is_plain(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.username or parts.password or parts.query or parts.fragment:
            # Not a ValueError, whose message would show the value: it may hold a secret.
            raise RecipeError(
                "base_url holds a user name, a password or a query",
                fix="name the key's environment variable in key_env, and write a plain URL",
            )
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("write a plain URL such as http://127.0.0.1:8000/v1")
        return url.rstrip("/")

    @field_validator("key_env")
    @classmethod
    def _is_a_variable(cls, name: str) -> str:
        if not _VARIABLE.fullmatch(name):
            # As above: whoever writes the key itself here is not to see it again in a record.
            raise RecipeError(
                "key_env is not the name of an environment variable",
                fix="put the key into a variable, such as OPENAI_API_KEY, and name that",
            )
        return name

    @model_validator(mode="after")
    def _budget_has_prices(self) -> ChatSettings:
        if self.budget is not None and not (self.input_price or self.output_price):
            raise ValueError("a budget needs prices: set input_price and output_price")
        return self

    def price(self, input_tokens: float, output_tokens: float) -> float:
        """What these tokens cost, in USD."""
        return (input_tokens * self.input_price + output_tokens * self.output_price) / 1e6


class Secret:
    """A key that shows itself to nobody but the server."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def __repr__(self) -> str:
        return "Secret(...)"

    def __reduce__(self) -> str:
        raise TypeError("a secret is not pickled: read it again where it is needed")

    def __bool__(self) -> bool:
        return bool(self._value)

    def reveal(self) -> str:
        return self._value

    def hidden(self, data: bytes) -> bytes:
        """The bytes without the key, should a server have echoed it.

        One too short to be a secret stays: taken out of a reply, it would garble the answer.
        """
        key = self._value.encode()
        return data if len(key) < _SHORTEST else data.replace(key, b"[key]")


def read_key(variable: str) -> Secret:
    """The key in an environment variable; an empty one where it is not set.

    Raises RecipeError, which does not show the value, where no HTTP header can carry it.
    """
    value = os.environ.get(variable, "").strip()
    if not (value.isascii() and value.isprintable()):
        raise RecipeError(
            "a key has characters that no header can carry",
            value=f"${variable}",
            fix=f"set {variable} to the key alone",
        )
    return Secret(value)
