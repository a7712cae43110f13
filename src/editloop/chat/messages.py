"""Questions to a chat model: messages, pictures and failures."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, TypeAlias

from editloop.errors import EditLoopError, FailureClass
from editloop.images.codec import encode_jpeg, encode_png
from editloop.schema import Json, Pixels

__all__ = ["Content", "Failed", "Message", "Picture", "Question", "ReplyError", "Role"]

_MEDIA_TYPE = re.compile(r"image/[a-z0-9.+-]+")


@dataclass(frozen=True)
class Picture:
    """A picture to send: encoded bytes, converted to base64 only once."""

    data: bytes = field(repr=False)
    media_type: str = "image/png"

    def __post_init__(self) -> None:
        if not _MEDIA_TYPE.fullmatch(self.media_type):
            raise ValueError(f"not the media type of a picture: {self.media_type!r}")

    @classmethod
    def png(cls, pixels: Pixels) -> Picture:
        """Return the pixels encoded as PNG, lossless."""
        return cls(encode_png(pixels), "image/png")

    @classmethod
    def jpeg(cls, pixels: Pixels, quality: int) -> Picture:
        """Return the pixels encoded as JPEG with a quality in [1, 100]."""
        return cls(encode_jpeg(pixels, quality), "image/jpeg")

    @cached_property
    def sha256(self) -> str:
        """The SHA-256 of the encoded bytes, in hex."""
        return hashlib.sha256(self.data).hexdigest()

    @cached_property
    def base64(self) -> bytes:
        """The encoded bytes as base64."""
        return base64.b64encode(self.data)

    @property
    def json(self) -> list[bytes]:
        """The message part with the picture, as pieces of JSON."""
        head = f'{{"type":"image_url","image_url":{{"url":"data:{self.media_type};base64,'
        return [head.encode(), self.base64, b'"}}']

    @cached_property
    def size(self) -> tuple[int, int]:
        """The width and height from the header; (0, 0) if it cannot be read."""
        from PIL import Image

        try:
            with Image.open(io.BytesIO(self.data)) as image:
                return image.width, image.height
        except (OSError, ValueError, Image.DecompressionBombError):
            return 0, 0


Content: TypeAlias = str | Picture
Role: TypeAlias = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True)
class Message:
    """A turn of a conversation: texts and pictures in order."""

    role: Role
    parts: tuple[Content, ...]

    @property
    def json(self) -> list[bytes]:
        """The message as pieces of the protocol's JSON, so pictures are copied only when joined.

        ASCII only, so a lone surrogate is escaped and the result is valid UTF-8.
        """
        pieces = [f'{{"role":"{self.role}","content":'.encode()]
        if len(self.parts) == 1 and isinstance(self.parts[0], str):
            # Every server accepts a plain string; some accept a list only for the user role.
            return [*pieces, json.dumps(self.parts[0]).encode(), b"}"]
        for at, part in enumerate(self.parts):
            pieces.append(b"," if at else b"[")
            if isinstance(part, Picture):
                pieces += part.json
            else:
                pieces.append(json.dumps({"type": "text", "text": part}).encode())
        return [*pieces, b"]}"]

    @property
    def identity(self) -> Json:
        """The message as JSON, with pictures replaced by their hashes."""
        parts = [["text", p] if isinstance(p, str) else ["image", p.sha256] for p in self.parts]
        return [self.role, parts]


@dataclass(frozen=True, slots=True)
class Question:
    """A question: a conversation, and the JSON schema of the reply, if it is JSON.

    `repeat` distinguishes repeats of a question: each is asked and billed separately. `temperature`
    overrides that of the chat's settings. `id` is only for messages to users and not sent.
    """

    id: str
    messages: tuple[Message, ...]
    schema: Json | None = None
    repeat: int = 0
    temperature: float | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """A question without an answer: a short stable `code`, a message, and the failure class.

    Codes: `rate-limited`, `server-error`, `timeout`, `connection`, `broken-reply` (transport),
    `filtered` (a content filter refused), `empty` (no content), `bad-request`, `over-budget`; those
    of `ReplyError` after the last re-ask, which is `truncated` for a reply that was cut off.
    `attempts` counts requests sent. `reply_key` is the ledger key of the last raw reply, if any.
    """

    code: str
    message: str
    failure: FailureClass
    attempts: int = 0
    reply_key: str | None = None


class ReplyError(EditLoopError):
    """A reply that cannot be used, raised by its reader; the question is asked again.

    `reason` is sent to the model, so it should describe what is wrong with the reply; `code` is the
    short name under which the failure is counted if asking again does not help.
    """

    def __init__(self, reason: str, *, code: str = "unparseable") -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code
