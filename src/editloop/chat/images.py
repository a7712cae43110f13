"""Client of image models at any server of OpenAI's images API; pictures are stored as replies.

    settings = ImageSettings(target="MODEL", base_url="http://127.0.0.1:8000/v1")
    images = ImageClient(settings, Path("ledger.db"))
    answers = images.ask([ImageQuestion("a", "make it night", (1024, 1024), picture)])

A question with a picture goes to `images/edits`, one without to `images/generations`. Calls share
the ledger, budget, retries and concurrency of chat: nothing is paid for twice, and a refusal of the
server's filter is asked once. The dialects differ in the mask (OpenAI: field `mask`, transparent
where editing is allowed; vLLM-Omni: field `mask_image`, white there) and the seed, which OpenAI's
API does not have; there it only tells questions apart.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from PIL import Image as Pillow
from pydantic import Field, model_validator

from editloop.chat.call_errors import CallError, printable
from editloop.chat.ledger import Ledger, Reply
from editloop.chat.messages import Failed, Picture
from editloop.chat.model_server import ModelServer
from editloop.chat.replies import counted, not_a_reply, read_response
from editloop.chat.request_styles import Style
from editloop.chat.server_calls import Body, Form
from editloop.chat.settings import ServerSettings, StoredSettings
from editloop.chat.throttle import Timer
from editloop.chat.usage import ChatUsage
from editloop.errors import FailureClass, ImageError
from editloop.images.codec import decode, encode_png
from editloop.schema import Json, Mask, Pixels, canonical_json

__all__ = [
    "Dialect",
    "ImageAnswer",
    "ImageClient",
    "ImageQuestion",
    "ImageSettings",
    "mask_picture",
]

Dialect = Literal["openai", "vllm-omni"]

_MASK_FIELD: Mapping[Dialect, str] = {"openai": "mask", "vllm-omni": "mask_image"}
_SEEDS = 2**32  # the number of seeds that every server takes
_DATA = "data:image/"


class ImageSettings(ServerSettings, StoredSettings):
    """An image model behind a server of OpenAI's images API, and where its pictures are kept."""

    OWN: ClassVar[Mapping[str, str | None]] = {
        "image": None,
        "image[]": None,
        "mask": None,
        "mask_image": None,
        "model": "target",
        "n": None,
        "prompt": None,
        "seed": None,
        "size": "size",
    }

    dialect: Dialect = Field(
        default="openai", description="how masks and seeds are sent: openai or vllm-omni"
    )
    picture_price: float = Field(default=0.0, ge=0, description="USD per picture")

    @model_validator(mode="after")
    def _budget_has_a_price(self) -> ImageSettings:
        if self.budget is not None and not self.picture_price:
            raise ValueError("a budget needs a price: set picture_price")
        return self


@dataclass(frozen=True, slots=True)
class ImageQuestion:
    """A picture to make: a prompt, the (width, height) asked for, and the picture to edit, if any.

    `mask` is in the dialect's form (`mask_picture`). `seed` and `repeat` distinguish questions:
    each is asked and billed separately. `id` is only for messages to users and not sent.
    """

    id: str
    prompt: str
    size: tuple[int, int]
    picture: Picture | None = None
    mask: Picture | None = None
    seed: int = 0
    repeat: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class ImageAnswer:
    """A picture that was made: its pixels, its key in the ledger, and its cost in USD."""

    pixels: Pixels
    reply_key: str
    cost: float

    def record(self, asked: str, got: str) -> dict[str, Json]:
        """Return what the provenance of the picture says: its sizes, key and cost."""
        own = {"reply_key": self.reply_key, "cost": self.cost}
        return {"size_asked": asked, "size_got": got, **own}


@dataclass(frozen=True)
class _ImageCall:
    """The call for one picture; an unusable one is not asked for again."""

    settings: ImageSettings
    question: ImageQuestion
    schema: ClassVar[Json | None] = None
    re_asks: ClassVar[int] = 0

    @property
    def path(self) -> str:
        return "/images/generations" if self.question.picture is None else "/images/edits"

    @cached_property
    def key(self) -> str:
        settings, asked = self.settings, self.question
        identity = {
            "endpoint": self.path,
            "model": settings.target,
            "revision": settings.revision,
            "dialect": settings.dialect,
            "prompt": asked.prompt,
            "size": asked.size,
            "picture": None if asked.picture is None else asked.picture.sha256,
            "mask": None if asked.mask is None else asked.mask.sha256,
            "seed": asked.seed,
            "repeat": asked.repeat,
            **settings.further,
        }
        text = canonical_json(identity).encode("utf-8", "surrogatepass")
        return hashlib.sha256(text).hexdigest()

    @property
    def expense(self) -> float:
        return self.settings.picture_price

    def body(self, style: Style) -> Body:  # noqa: ARG002
        settings, asked = self.settings, self.question
        fields: dict[str, Json] = {
            **settings.body,
            "model": settings.target,
            "prompt": asked.prompt.encode("utf-16", "surrogatepass").decode("utf-16", "replace"),
            "n": 1,
            "size": "x".join(map(str, asked.size)),
        }
        if settings.dialect == "vllm-omni":
            fields["seed"] = asked.seed % _SEEDS
        if asked.picture is None:
            return json.dumps(fields).encode()
        files = {"image": ("image.png", asked.picture.data, asked.picture.media_type)}
        if asked.mask is not None:
            name = _MASK_FIELD[settings.dialect]
            files[name] = ("mask.png", asked.mask.data, asked.mask.media_type)
        return Form({name: _text(value) for name, value in fields.items()}, files)

    def parse(self, data: bytes) -> Reply:
        """Return the reply, whose text is the picture in base64; raises CallError without one."""
        body = read_response(data)
        listed = body.get("data")
        if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
            raise not_a_reply("the response holds no list of pictures")
        if not listed:
            raise CallError("empty", "the response holds no picture", FailureClass.PERMANENT)
        usage = body.get("usage")
        usage = usage if isinstance(usage, dict) else {}
        return Reply(
            text=_picture(listed[0]),
            finish_reason="stop",
            input_tokens=counted(usage.get("input_tokens")),
            output_tokens=counted(usage.get("output_tokens")),
            cost=self.expense,
        )

    def answer(self, reply: Reply) -> ImageAnswer:
        """Return the answer in a stored reply."""
        return ImageAnswer(decode(base64.b64decode(reply.text)), self.key, reply.cost or 0.0)

    def after(self, reply: Reply, reason: str) -> None:  # noqa: ARG002
        return None


class ImageClient:
    """An image model at a server, called through a ledger; can be used from any thread.

    Clients with the same `run` share one budget and one usage count.
    """

    def __init__(
        self,
        settings: ImageSettings,
        ledger: Ledger | Path,
        *,
        run: str | None = None,
        timer: Timer | None = None,
    ) -> None:
        self.settings = settings
        self._server = ModelServer(settings, ledger, run=run, timer=timer)

    def ask(self, questions: Sequence[ImageQuestion]) -> list[ImageAnswer | Failed]:
        """Return the picture for each question, in order, or why there is none.

        Raises UnavailableError if no call can succeed; pictures received before are in the ledger.
        """
        calls = [_ImageCall(self.settings, each) for each in questions]
        return self._server.ask([(each, each.answer) for each in calls])

    @property
    def counts(self) -> ChatUsage:
        """The usage so far."""
        return self._server.counts

    def close(self) -> None:
        """Close the connections; asking after that raises RuntimeError."""
        self._server.close()


def mask_picture(mask: Mask, dialect: Dialect) -> Picture:
    """Return a mask (255 where editing is allowed) in a dialect's form, as PNG.

    openai: black, transparent where editing is allowed; vllm-omni: white there.
    """
    if dialect == "vllm-omni":
        return Picture(encode_png(mask))
    data = io.BytesIO()
    alpha = Pillow.fromarray(np.asarray(255 - mask))
    black = Pillow.new("L", alpha.size)
    Pillow.merge("RGBA", (black, black, black, alpha)).save(data, "PNG")
    return Picture(data.getvalue())


def _text(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _picture(entry: Mapping[str, Json]) -> str:
    """Return an entry's picture in base64; raises CallError if it is none that can be decoded.

    A link is not followed, as a server could make us fetch any address.
    """
    url = entry.get("url")
    text = entry.get("b64_json")
    if text is None and isinstance(url, str) and url.startswith(_DATA):
        text = url.partition(",")[2]
    if not isinstance(text, str) and isinstance(url, str):
        raise CallError(
            "link",
            "the server answers with a link to the picture, which is not followed: let it send the "
            'picture itself, for example by body={"response_format": "b64_json"}'
            f" ({printable(url)})",
            FailureClass.PERMANENT,
            retry=False,
            billed=True,
        )
    if not isinstance(text, str):
        raise not_a_reply("the response holds no picture in b64_json")
    text = "".join(text.split())
    try:
        decode(base64.b64decode(text, validate=True))
    except (binascii.Error, ImageError) as error:
        raise not_a_reply(f"the response holds no whole picture: {error}") from None
    return text
