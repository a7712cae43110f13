r"""Versioned prompts: read from YAML, filled with pictures and fenced texts.

A prompt contains the complete text sent to a model: placeholders in braces are replaced by a
picture (`{source}`, ...) or a text (`{instruction}`, ...); any other braces, including `{{word}}`,
are kept. So published prompts can be used verbatim.

Instructions and captions are untrusted. In a prompt each is one JSON string in its own block:

    <data-1f6a0c0e4b2d7a93>
    "make the sky \u003cb\u003eblue\u003c/b\u003e"
    </data-1f6a0c0e4b2d7a93>

Inside, `<`, `>`, line breaks and all invisible characters are escaped, so a text cannot close its
block or hide words; the tag is derived from the text's digest, so a text cannot contain its tag.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

import numpy as np
from PIL import Image
from pydantic import Field, field_validator

from editloop.chat.messages import Message, Picture
from editloop.errors import RecipeError, known_names
from editloop.images.codec import content_hash
from editloop.schema import Json, Pixels, canonical_json
from editloop.settings import Settings, read_yaml, validate

__all__ = ["PictureEncoding", "Prompt", "encode_picture", "fenced", "prompt_names", "read_prompt"]

_PLACEHOLDER = re.compile(r"(?<!\{)\{([a-z_]+)\}(?!\})")
_FOR_PEOPLE = {"title", "source"}  # fields that do not affect answers


class PictureEncoding(Settings):
    """The encoding of pictures to send, and their height if the prompt fixes one."""

    format: Literal["jpeg", "png"] = "jpeg"
    quality: int = Field(default=100, ge=1, le=100, description="of JPEG")
    height: int | None = Field(default=None, ge=8, le=4096)


class Prompt(Settings):
    """The base of versioned prompts. A subclass lists the placeholders that it supports.

    `version` is increased when a prompt's meaning changes; `stamp` adds a hash of everything that
    can change an answer, so edited copies are distinguished.
    """

    PICTURES: ClassVar[tuple[str, ...]] = ()
    TEXTS: ClassVar[tuple[str, ...]] = ()
    OWN: ClassVar[tuple[str, ...]] = ()  # placeholders with texts that the prompt itself provides

    name: str = Field(pattern=r"^[\w-]+$")
    version: int = Field(ge=1)
    title: str
    source: str
    temperature: float | None = Field(
        default=None, ge=0, le=2, description="sampling temperature, unless a SPEC sets another"
    )
    pictures: PictureEncoding = PictureEncoding()
    fenced: bool = Field(
        default=True, description="fence the case's texts against prompt injection"
    )
    system: str = ""
    prompt: str

    @field_validator("prompt")
    @classmethod
    def _placeholders_are_known(cls, prompt: str) -> str:
        known = (*cls.PICTURES, *cls.TEXTS, *cls.OWN)
        for name in _PLACEHOLDER.findall(prompt):
            if name not in known:
                raise ValueError(f"unknown placeholder {name!r}: {known_names(name, known)}")
        return prompt

    @cached_property
    def pieces(self) -> tuple[str, ...]:
        """The prompt split at its placeholders: text, a placeholder's name, text, ..., text."""
        return tuple(_PLACEHOLDER.split(self.prompt))

    @property
    def shows(self) -> tuple[str, ...]:
        """The placeholders of pictures in the prompt, in order."""
        return tuple(name for name in self.pieces[1::2] if name in self.PICTURES)

    @property
    def tells(self) -> tuple[str, ...]:
        """The placeholders of texts in the prompt, in order."""
        return tuple(name for name in self.pieces[1::2] if name in self.TEXTS)

    @cached_property
    def stamp(self) -> str:
        """Name, version and a hash; it changes exactly when an answer may change."""
        digest = content_hash(canonical_json(self.content()).encode())[:12]
        return f"{self.name}-{self.version}-{digest}"

    def content(self) -> dict[str, Json]:
        """Return everything that can change an answer; an unset temperature is the caller's."""
        content = self.model_dump(mode="json", exclude=_FOR_PEOPLE)
        if self.temperature is None:
            del content["temperature"]
        return content

    def filled(
        self,
        texts: Mapping[str, str],
        pictures: Mapping[str, Picture],
        own: Mapping[str, str] | None = None,
    ) -> tuple[Message, ...]:
        """Return the messages with each placeholder replaced by its text or picture.

        `own` are the prompt's own texts by placeholder; they are never fenced.
        """
        content: list[str | Picture] = []
        words = ""
        for at, piece in enumerate(self.pieces):
            if at % 2 == 0:
                words += piece
            elif piece in pictures:
                content += [words, pictures[piece]]
                words = ""
            elif piece in self.OWN:
                words += (own or {}).get(piece, "")
            else:
                words += fenced(texts[piece]) if self.fenced else texts[piece]
        content.append(words)
        parts = [each for each in content if isinstance(each, Picture) or each.strip()]
        asked = Message("user", tuple(parts))
        return (Message("system", (self.system,)), asked) if self.system else (asked,)


_Prompt = TypeVar("_Prompt", bound=Prompt)


def read_prompt(model: type[_Prompt], name: str | Path, package: str, folder: str) -> _Prompt:
    """Read a prompt by its name from a package's folder, or a user's own from a YAML file.

    Raises RecipeError if there is none, or if it is not valid for `model`.
    """
    path = Path(name).expanduser()
    if path.suffix in (".yaml", ".yml"):
        return validate(model, read_yaml(path), where=str(path))
    known = prompt_names(package, folder)
    if str(name) not in known:
        kind = folder.removesuffix("s")
        fix = f"{known_names(str(name), known)}; for your own {kind}, give a .yaml file"
        raise RecipeError(f"unknown {kind}", value=str(name), fix=fix)
    with resources.as_file(_folder(package, folder) / f"{name}.yaml") as own:
        return validate(model, read_yaml(own), where=str(own))


def prompt_names(package: str, folder: str) -> list[str]:
    """Return the names of the prompts in a package's folder."""
    return sorted(path.name.removesuffix(".yaml") for path in _folder(package, folder).iterdir())


def _folder(package: str, folder: str) -> Any:
    return resources.files(package) / folder


def fenced(text: str) -> str:
    """Return the text as one JSON string in a block that it cannot close or imitate."""
    tag = f"data-{content_hash(text.encode('utf-8', 'surrogatepass'))[:16]}"
    body = "".join(map(_escaped, text))
    return f'<{tag}>\n"{body}"\n</{tag}>'


def encode_picture(pixels: Pixels, encoding: PictureEncoding) -> Picture:
    """Encode a picture to send with a prompt.

    If `encoding` has a height, the picture is resized by Pillow's bicubic filter, in proportion.
    """
    if encoding.height is not None and pixels.shape[0] != encoding.height:
        width = max(1, round(pixels.shape[1] * encoding.height / pixels.shape[0]))
        size = (width, encoding.height)
        pixels = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))
    if encoding.format == "png":
        return Picture.png(pixels)
    return Picture.jpeg(pixels, encoding.quality)


def _escaped(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    if character.isprintable() and character not in "<>":
        return character
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))
