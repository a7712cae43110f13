"""Requests to the fake server's images endpoints, and its replies with their faults."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from PIL import Image as Pillow

from editloop.chat.fake.faults import Fault
from editloop.images.codec import decode, encode_png, resize
from editloop.schema import Json, Mask, Pixels

__all__ = [
    "PictureAnswers",
    "PictureRequest",
    "content_of",
    "picture_reply",
    "read_picture_request",
]

_NAME = re.compile(rb'name="([^"]*)"')
_BOUNDARY = re.compile(r"boundary=\"?([^\";]+)")
_LARGEST_MASK = 4_000_000  # bytes, as OpenAI allows
_OPENAI = frozenset(
    [
        "background",
        "input_fidelity",
        "model",
        "moderation",
        "n",
        "output_compression",
        "output_format",
        "partial_images",
        "prompt",
        "quality",
        "response_format",
        "size",
        "style",
        "user",
    ]
)  # the text fields that OpenAI's API takes
_SHIFT = 4  # pixels, by which a shifted picture moves to the right and down


@dataclass(frozen=True, slots=True, eq=False)
class PictureRequest:
    """A request for a picture of a size (width, height); `source` is the picture to edit, if any.

    `mask` is 255 where editing is allowed, whatever the dialect. `wrong` orders another edit than
    that of the prompt. `number`, `arrival` and `digest` are as in `FakeRequest`; the digest is of
    the content, as boundaries of forms are random.
    """

    prompt: str
    size: tuple[int, int]
    source: Pixels | None = None
    mask: Mask | None = None
    seed: int = 0
    wrong: bool = False
    fields: Mapping[str, Json] = field(default_factory=dict)
    digest: str = ""
    number: int = 0
    arrival: int = 0


PictureAnswers: TypeAlias = Callable[[PictureRequest], Pixels]


def content_of(body: bytes, content_type: str) -> tuple[dict[str, Json], dict[str, bytes]]:
    """Return the text fields and the files of a request; raises ValueError if it is invalid."""
    found = _BOUNDARY.search(content_type)
    if found is None:
        fields = json.loads(body)
        if not isinstance(fields, dict):
            raise ValueError("a request is a JSON object")
        return fields, {}
    texts: dict[str, Json] = {}
    files: dict[str, bytes] = {}
    for part in body.split(b"--" + found[1].encode())[1:-1]:
        head, _, data = part.partition(b"\r\n\r\n")
        name = _NAME.search(head)
        if name is None:
            raise ValueError("a part of the form has no name")
        own = data.removesuffix(b"\r\n")
        if b"filename=" in head:
            files[name[1].decode()] = own
        else:
            texts[name[1].decode()] = own.decode()
    return texts, files


def read_picture_request(
    fields: Mapping[str, Json],
    files: Mapping[str, bytes],
    *,
    dialect: str,
    digest: str,
    number: int,
    arrival: int,
) -> PictureRequest:
    """Return the request with these fields and files; raises ValueError where a server refuses."""
    source = decode(files["image"]) if "image" in files else None
    data = files.get("mask" if dialect == "openai" else "mask_image")
    if dialect == "openai":
        unknown = sorted({*fields} - _OPENAI | {*files} - {"image", "mask"})
        if unknown:
            raise ValueError(f"unknown parameter: {unknown[0]}")
    width, height = map(int, str(fields["size"]).split("x"))
    mask = None if data is None or source is None else _mask(data, dialect, source)
    return PictureRequest(
        prompt=str(fields["prompt"]),
        size=(width, height),
        source=source,
        mask=mask,
        seed=int(fields.get("seed", 0)),
        fields=fields,
        digest=digest,
        number=number,
        arrival=arrival,
    )


def picture_reply(asked: PictureRequest, made: Pixels, fault: Fault | None) -> Json:
    """Return the response with a picture, at the size asked for, with a fault applied."""
    width, height = asked.size
    if fault is Fault.UNCHANGED and asked.source is not None:
        made = asked.source
    made = resize(made, height, width) if made.shape[:2] != (height, width) else made
    if fault is Fault.SHIFTED:
        made = np.pad(made, ((_SHIFT, 0), (_SHIFT, 0), (0, 0)), "edge")[:height, :width]
    elif fault is Fault.RESIZED:
        made = resize(made, max(1, height // 2), max(1, width // 2))
    elif fault is Fault.CROPPED:
        made = made[: max(1, height * 3 // 4)]
    text = base64.b64encode(encode_png(np.ascontiguousarray(made))).decode()
    return {
        "created": 0,
        "data": [{"b64_json": text}],
        "usage": {"input_tokens": len(asked.prompt) // 4, "output_tokens": width * height // 256},
    }


def _mask(data: bytes, dialect: str, source: Pixels) -> Mask:
    """Return a mask, 255 where editing is allowed, from its form in a dialect."""
    with Pillow.open(io.BytesIO(data)) as image:
        if image.size != source.shape[1::-1]:
            raise ValueError("the mask has another size than the picture")
        if dialect != "openai":
            return np.array(image.convert("L"))
        if "A" not in image.getbands() or image.format != "PNG" or len(data) > _LARGEST_MASK:
            raise ValueError("the mask is no PNG below 4 MB with an alpha channel")
        return 255 - np.array(image.getchannel("A"))
