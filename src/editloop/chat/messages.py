"""What is asked of a chat model and what comes back: questions, pictures and failures."""

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
    """A picture as it is sent: encoded bytes, turned into text once however often it is shown."""

    data: bytes = field(repr=False)
    media_type: str = "image/png"

    def __post_init__(self) -> None:
        if not _MEDIA_TYPE.fullmatch(self.media_type):
            raise ValueError(f"not the media type of a picture: {self.media_type!r}")

    @classmethod
    def png(cls, pixels: Pixels) -> Picture:
        """The pixels exactly."""
        return cls(encode_png(pixels), "image/png")

    @classmethod
    def jpeg(cls, pixels: Pixels, quality: int) -> Picture:
        """The pixels nearly, in fewer bytes; quality lies in [1, 100]."""
        return cls(encode_jpeg(pixels, quality), "image/jpeg")

    @cached_property
    def sha256(self) -> str:
        """The SHA-256 of the bytes sent, in hex."""
        return hashlib.sha256(self.data).hexdigest()

    @cached_property
    def base64(self) -> bytes:
        """The bytes as text."""
        return base64.b64encode(self.data)

    @property
    def json(self) -> list[bytes]:
        """The message part that shows the picture, as pieces of JSON."""
        head = f'{{"type":"image_url","image_url":{{"url":"data:{self.media_type};base64,'
        return [head.encode(), self.base64, b'"}}']

    @cached_property
    def size(self) -> tuple[int, int]:
        """Its width and height, by its header alone; 0, 0 where that cannot be read."""
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
    """One turn of a conversation: texts and pictures in order."""

    role: Role
    parts: tuple[Content, ...]

    @property
    def json(self) -> list[bytes]:
        """The message as the protocol writes it, in pieces: pictures are copied once, at the end.

        ASCII only, so that a lone surrogate is an escape and the whole stays valid UTF-8.
        """
        pieces = [f'{{"role":"{self.role}","content":'.encode()]
        if len(self.parts) == 1 and isinstance(self.parts[0], str):
            # Every server takes a plain string; some take a list only from the user.
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
        """What the message says, with pictures by their hashes."""
        parts = [["text", p] if isinstance(p, str) else ["image", p.sha256] for p in self.parts]
        return [self.role, parts]


@dataclass(frozen=True, slots=True)
class Question:
    """One thing to ask: a conversation so far, and the JSON schema of the reply if it has one.

    `schema` also says that a reply is JSON. `repeat` tells repeats of one question apart: each is
    asked, and paid, for itself. `temperature` goes before that of the chat's settings. `id` is for
    messages to people and not part of what is asked.
    """

    id: str
    messages: tuple[Message, ...]
    schema: Json | None = None
    repeat: int = 0
    temperature: float | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """A question without an answer: a short stable `code`, words, and whether later may be better.

    Codes: `rate-limited`, `server-error`, `timeout`, `connection`, `broken-reply` (transport),
    `truncated`, `filtered` (a content filter refused), `bad-request`, `over-budget`; and those of
    `ReplyError`, after the last re-ask. `attempts` counts requests sent. `reply_key` finds the last
    raw reply in the ledger, where there is one.
    """

    code: str
    message: str
    failure: FailureClass
    attempts: int = 0
    reply_key: str | None = None


class ReplyError(EditLoopError):
    """A reply that cannot be used, raised by its reader: it is asked again, with the reason.

    `reason` is told to the model and so says what was wrong in its own terms; `code` is the short
    name under which the failure is counted when asking again did not help.
    """

    def __init__(self, reason: str, *, code: str = "unparseable") -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code
