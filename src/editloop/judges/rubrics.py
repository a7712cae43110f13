"""Rubrics: what a judge is shown, what it is asked, and how its answer is to be read.

A rubric is a strict YAML file. Its prompt says in full what the judge sees: placeholders in braces
stand where a picture (`{source}`, `{edited}`, ...) or a text (`{instruction}`, ...) of the case
comes, and `{criteria}` stands where it asks otherwise by the kind of edit; any other braces,
`{{word}}` too, are the prompt's own. So a published prompt can be put in to the letter. What the
file says of the answer (keys, range) is how it is read and checked.

`version` is bumped when a rubric's meaning changes; `stamp` adds a hash of all that can change an
answer, so that edited copies are told apart.
"""

from __future__ import annotations

import re
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from pydantic import Field, field_validator, model_validator

from editloop.errors import RecipeError, known_names
from editloop.images.codec import content_hash
from editloop.schema import Json, canonical_json
from editloop.settings import Settings, read_yaml, validate
from editloop.sources.taxonomies import plain_label

__all__ = [
    "Choice",
    "PictureName",
    "Pictures",
    "Rubric",
    "Scale",
    "TextName",
    "read_rubric",
    "rubric_names",
]

PictureName: TypeAlias = Literal["source", "edited", "target", "first", "second"]
TextName: TypeAlias = Literal["instruction", "source_caption", "target_caption"]

_PICTURES: tuple[str, ...] = get_args(PictureName)
_TEXTS: tuple[str, ...] = get_args(TextName)
_CRITERIA = "criteria"
_PLACEHOLDER = re.compile(r"(?<!\{)\{([a-z_]+)\}(?!\})")
_FOLDER = "rubrics"
_TOLD = {"title", "source"}  # words for people, which change no answer
_COMPARED = {"first", "second"}


class Pictures(Settings):
    """How pictures are sent: their encoding, and their height where the rubric fixes one."""

    format: Literal["jpeg", "png"] = "jpeg"
    quality: int = Field(default=100, ge=1, le=100, description="of JPEG")
    height: int | None = Field(default=None, ge=8, le=4096)


class Scale(Settings):
    """A perspective: its range, and the keys of the reply's score, yes or no, and words.

    A key such as `following.score` or `score.0` goes into an object or a list.
    """

    low: float
    high: float
    value: str
    passed: str | None = None
    text: str | None = None

    @model_validator(mode="after")
    def _is_a_range(self) -> Scale:
        if not self.low < self.high:
            raise ValueError(f"`low` must be below `high`, not {self.low:g}, {self.high:g}")
        return self


class Choice(Settings):
    """A preference: the key of the reply's choice and of its words, and what choices are called."""

    key: str
    first: str = "A"
    second: str = "B"
    tie: str = "tie"
    text: str | None = None


class Rubric(Settings):
    """One question to a judge, asked of a case: it scores perspectives, or prefers one of two."""

    name: str = Field(pattern=r"^[\w-]+$")
    version: int = Field(ge=1)
    title: str
    source: str
    temperature: float | None = Field(
        default=None, ge=0, le=2, description="at which it is asked, unless a SPEC says another"
    )
    pictures: Pictures = Pictures()
    fenced: bool = Field(default=True, description="texts of the case cannot pose as the prompt")
    reply: Literal["json", "lines"] = "json"
    perspectives: dict[str, Scale] = Field(default_factory=dict)
    preference: Choice | None = None
    criteria: dict[str, str] = Field(
        default_factory=dict, description="by kind of edit: what stands at {criteria}"
    )
    system: str = ""
    prompt: str

    @field_validator("prompt")
    @classmethod
    def _placeholders_are_known(cls, prompt: str) -> str:
        names = _PLACEHOLDER.findall(prompt)
        known = (*_PICTURES, *_TEXTS, _CRITERIA)
        for name in names:
            if name not in known:
                raise ValueError(f"unknown placeholder {name!r}: {known_names(name, known)}")
        if not set(names) & set(_PICTURES):
            raise ValueError(f"a judge is shown no picture: place one of {', '.join(_PICTURES)}")
        return prompt

    @model_validator(mode="after")
    def _asks_one_thing(self) -> Rubric:
        compared = _COMPARED & set(self.shows)
        if bool(self.perspectives) == (self.preference is not None):
            raise ValueError("a rubric has either `perspectives` or a `preference`")
        if self.preference is not None and compared != _COMPARED:
            raise ValueError("a preference is between {first} and {second}: place both")
        if self.preference is None and compared:
            raise ValueError("{first} and {second} are for a rubric with a `preference`")
        if bool(self.criteria) != (_CRITERIA in self.pieces[1::2]):
            raise ValueError("`criteria` and the placeholder {criteria} go together")
        return self

    @cached_property
    def pieces(self) -> tuple[str, ...]:
        """The prompt cut at its placeholders: text, a placeholder's name, text, ..., text."""
        return tuple(_PLACEHOLDER.split(self.prompt))

    @property
    def shows(self) -> tuple[str, ...]:
        """The pictures that the judge sees, in order."""
        return tuple(name for name in self.pieces[1::2] if name in _PICTURES)

    @property
    def tells(self) -> tuple[str, ...]:
        """The texts of the case that the judge reads, in order."""
        return tuple(name for name in self.pieces[1::2] if name in _TEXTS)

    def criteria_of(self, kind: str | None) -> str | None:
        """What it asks of a kind of edit, as data sets write it; None where it does not say."""
        return self._by_kind.get(plain_label(kind))

    @cached_property
    def _by_kind(self) -> dict[str, str]:
        return {plain_label(kind): text for kind, text in self.criteria.items()}

    @cached_property
    def stamp(self) -> str:
        """Name, version and a hash: changes when, and only when, an answer may."""
        content = self.model_dump(mode="json", exclude=_TOLD)
        if self.temperature is None:
            del content["temperature"]  # it is the judge's, and in its version
        if not self.criteria:
            del content["criteria"]
        return f"{self.name}-{self.version}-{content_hash(canonical_json(content).encode())[:12]}"

    @cached_property
    def schema_of_reply(self) -> Json | None:
        """The JSON schema of the reply, for servers that can be held to one; None without JSON.

        Ranges are left out: servers differ in what they take, and a reply is checked anyway.
        """
        if self.reply != "json":
            return None
        fields: list[tuple[str | None, Json]] = []
        for scale in self.perspectives.values():
            fields += [
                (scale.text, {"type": "string"}),
                (scale.value, {"type": "number"}),
                (scale.passed, {"type": "string", "enum": ["yes", "no"]}),
            ]
        if self.preference is not None:
            named = [self.preference.first, self.preference.second, self.preference.tie]
            fields = [
                (self.preference.text, {"type": "string"}),
                (self.preference.key, {"type": "string", "enum": named}),
            ]
        return _object_of([(key.split("."), kind) for key, kind in fields if key is not None])


def read_rubric(name: str | Path) -> Rubric:
    """A rubric of the package by its name, or a user's own by its file (YAML)."""
    path = Path(name).expanduser()
    if path.suffix in (".yaml", ".yml"):
        return validate(Rubric, read_yaml(path), where=str(path))
    if str(name) not in rubric_names():
        raise _unknown(str(name))
    with resources.as_file(_folder() / f"{name}.yaml") as own:
        return validate(Rubric, read_yaml(own), where=str(own))


def rubric_names() -> list[str]:
    """The names of the package's rubrics."""
    return sorted(path.name.removesuffix(".yaml") for path in _folder().iterdir())


def _folder() -> resources.abc.Traversable:
    return resources.files("editloop.judges") / _FOLDER


def _unknown(name: str) -> RecipeError:
    fix = f"{known_names(name, rubric_names())}; a rubric of your own is a .yaml file"
    return RecipeError("unknown rubric", value=name, fix=fix)


def _object_of(fields: list[tuple[list[str], Json]]) -> Json | None:
    """The schema of an object with these paths; None where one goes into a list."""
    inner: dict[str, list[tuple[list[str], Json]]] = {}
    properties: dict[str, Json] = {}
    for (head, *rest), kind in fields:
        if head.isdigit():
            return None
        properties.setdefault(head, kind)
        if rest:
            inner.setdefault(head, []).append((rest, kind))
    for head, paths in inner.items():
        made = _object_of(paths)
        if made is None:
            return None
        properties[head] = made
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
