r"""Versioned prompts: read from YAML, filled with pictures and fenced texts.

A prompt says in full what a model is sent: placeholders in braces stand where a picture
(`{source}`, ...) or a text (`{instruction}`, ...) comes; any other braces, `{{word}}` too, are the
prompt's own. So a published prompt can be put in to the letter.

Instructions and captions are written by strangers. In a prompt each stands as one JSON string in a
block of its own:

    <data-1f6a0c0e4b2d7a93>
    "make the sky \u003cb\u003eblue\u003c/b\u003e"
    </data-1f6a0c0e4b2d7a93>

Inside, `<`, `>`, line breaks and everything invisible are escaped, so that no text can close its
block or hide words in it; the tag comes from the text's own digest, so that none can quote it.
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
_FOR_PEOPLE = {"title", "source"}  # words that change no answer


class PictureEncoding(Settings):
    """How pictures are sent: their encoding, and their height where the prompt fixes one."""

    format: Literal["jpeg", "png"] = "jpeg"
    quality: int = Field(default=100, ge=1, le=100, description="of JPEG")
    height: int | None = Field(default=None, ge=8, le=4096)


class Prompt(Settings):
    """The base of versioned prompts. A kind of prompt names the placeholders that it takes.

    `version` is bumped when a prompt's meaning changes; `stamp` adds a hash of all that can change
    an answer, so that edited copies are told apart.
    """

    PICTURES: ClassVar[tuple[str, ...]] = ()
    TEXTS: ClassVar[tuple[str, ...]] = ()
    OWN: ClassVar[tuple[str, ...]] = ()  # placeholders that the prompt itself has the texts for

    name: str = Field(pattern=r"^[\w-]+$")
    version: int = Field(ge=1)
    title: str
    source: str
    temperature: float | None = Field(
        default=None, ge=0, le=2, description="at which it is asked, unless a SPEC says another"
    )
    pictures: PictureEncoding = PictureEncoding()
    fenced: bool = Field(default=True, description="texts of the case cannot pose as the prompt")
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
        """The prompt cut at its placeholders: text, a placeholder's name, text, ..., text."""
        return tuple(_PLACEHOLDER.split(self.prompt))

    @property
    def shows(self) -> tuple[str, ...]:
        """The pictures that the model sees, in order."""
        return tuple(name for name in self.pieces[1::2] if name in self.PICTURES)

    @property
    def tells(self) -> tuple[str, ...]:
        """The texts that the model reads, in order."""
        return tuple(name for name in self.pieces[1::2] if name in self.TEXTS)

    @cached_property
    def stamp(self) -> str:
        """Name, version and a hash: changes when, and only when, an answer may."""
        digest = content_hash(canonical_json(self.content()).encode())[:12]
        return f"{self.name}-{self.version}-{digest}"

    def content(self) -> dict[str, Json]:
        """All that can change an answer; a temperature that is left open is the asker's."""
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
        """The messages with each placeholder's text or picture in its place.

        `own` are the prompt's own words by placeholder; they are never fenced.
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
        said = [each for each in content if isinstance(each, Picture) or each.strip()]
        asked = Message("user", tuple(said))
        return (Message("system", (self.system,)), asked) if self.system else (asked,)


_Prompt = TypeVar("_Prompt", bound=Prompt)


def read_prompt(model: type[_Prompt], name: str | Path, package: str, folder: str) -> _Prompt:
    """A prompt that ships in a package's folder by its name, or a user's own by its file (YAML).

    Raises RecipeError where there is none, or where it is not as `model` wants it.
    """
    path = Path(name).expanduser()
    if path.suffix in (".yaml", ".yml"):
        return validate(model, read_yaml(path), where=str(path))
    known = prompt_names(package, folder)
    if str(name) not in known:
        kind = folder.removesuffix("s")
        fix = f"{known_names(str(name), known)}; a {kind} of your own is a .yaml file"
        raise RecipeError(f"unknown {kind}", value=str(name), fix=fix)
    with resources.as_file(_folder(package, folder) / f"{name}.yaml") as own:
        return validate(model, read_yaml(own), where=str(own))


def prompt_names(package: str, folder: str) -> list[str]:
    """The names of the prompts that ship in a package's folder."""
    return sorted(path.name.removesuffix(".yaml") for path in _folder(package, folder).iterdir())


def _folder(package: str, folder: str) -> Any:
    return resources.files(package) / folder


def fenced(text: str) -> str:
    """The text as one JSON string in a block that it can neither close nor imitate."""
    tag = f"data-{content_hash(text.encode('utf-8', 'surrogatepass'))[:16]}"
    body = "".join(map(_escaped, text))
    return f'<{tag}>\n"{body}"\n</{tag}>'


def encode_picture(pixels: Pixels, encoding: PictureEncoding) -> Picture:
    """A picture as a prompt sends it.

    A height is reached by Pillow's bicubic filter, the width in proportion.
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
