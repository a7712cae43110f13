"""Settings of a model server, and of the chat models at one."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal
from urllib.parse import parse_qsl, urlsplit

from pydantic import Field, field_validator, model_validator

from editloop.chat.secrets import FROM_VARIABLE, IS_SECRET
from editloop.errors import RecipeError
from editloop.schema import Json
from editloop.settings import Settings as BaseSettings

__all__ = ["ChatSettings", "ServerSettings", "StoredChatSettings", "StoredSettings"]

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
        "picture_price",
        "run",
        "timeout",
    }
)
_ENDPOINTS = ("/chat/completions", "/images/edits", "/images/generations", "/moderations")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class ServerSettings(BaseSettings):
    """A model behind a server of an OpenAI-compatible API, hosted or local.

    `OWN` are the fields of a request that cannot be in `body`: each with the setting that sets it,
    or None for a part of the question itself.
    """

    OWN: ClassVar[Mapping[str, str | None]] = {}

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
    attempts: int = Field(default=6, ge=1, description="maximum number of requests per reply")
    timeout: float = Field(default=120.0, gt=0, description="seconds per request")
    concurrency: int = Field(
        default=32, ge=1, le=1000, description="maximum number of concurrent requests"
    )
    budget: float | None = Field(default=None, gt=0, description="spending limit in USD")

    @field_validator("base_url")
    @classmethod
    def _is_plain(cls, url: str) -> str:
        parts = urlsplit(url)
        secret = any(map(IS_SECRET.search, dict(parse_qsl(parts.query, keep_blank_values=True))))
        if parts.username or parts.password or secret or parts.fragment:
            # Not a ValueError, as pydantic would show the value, which may contain a secret.
            raise RecipeError(
                "base_url contains a user name, a password or a key",
                fix="set key_env to the key's environment variable, and base_url to a plain URL",
            )
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("write a plain URL such as http://127.0.0.1:8000/v1")
        for endpoint in _ENDPOINTS:
            if parts.path.rstrip("/").endswith(endpoint):
                raise ValueError(f"leave out {endpoint} at the end of base_url")
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
            if IS_SECRET.search(name) and not FROM_VARIABLE.search(each):
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
        for name in sorted(body.keys() & cls.OWN.keys()):
            own = cls.OWN[name]
            fix = f"set {own} instead" if own else "leave it out: it is set for each question"
            raise RecipeError("a field cannot be given in `body`", value=name, fix=fix)
        if body.get("stream"):
            raise RecipeError(
                "replies are read whole", value="stream", fix="leave `stream` out, or set it false"
            )
        return body

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
        headers = {name: v for name, v in self.headers.items() if not FROM_VARIABLE.search(v)}
        query = dict(parse_qsl(urlsplit(self.base_url).query))
        sent: dict[str, Json] = {"body": self.body, "headers": headers, "query": query}
        return {name: each for name, each in sent.items() if each}


class ChatSettings(ServerSettings):
    """A chat model behind an OpenAI-compatible server."""

    OWN: ClassVar[Mapping[str, str | None]] = {
        "max_tokens": "max_tokens",
        "messages": None,
        "model": "target",
        "n": None,
        "response_format": "reply_format",
        "seed": "seed",
        "temperature": "temperature",
    }

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
    input_price: float = Field(default=0.0, ge=0, description="USD per million input tokens")
    output_price: float = Field(default=0.0, ge=0, description="USD per million output tokens")

    @model_validator(mode="after")
    def _budget_has_prices(self) -> ChatSettings:
        if self.budget is not None and not (self.input_price or self.output_price):
            raise ValueError("a budget needs prices: set input_price and output_price")
        return self

    def price(self, input_tokens: float, output_tokens: float) -> float:
        """Return the cost of these tokens in USD."""
        return (input_tokens * self.input_price + output_tokens * self.output_price) / 1e6


class StoredSettings(BaseSettings):
    """Where replies are kept, and the run that pays for them."""

    ledger: Path = Field(
        default=Path(".editloop/ledger.sqlite"),
        description="the file of all replies, shared by runs so that none is paid for twice",
    )
    run: str | None = Field(
        default=None, description="the run whose budget all of its judges and processes share"
    )
    repeat: int = Field(default=0, ge=0, description="another number asks, and pays, again")


class StoredChatSettings(ChatSettings, StoredSettings):
    """A chat model, its server, and where its replies are kept."""

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
