"""Rubrics: the pictures and question that a judge gets, and the format of its answer.

A rubric is a versioned prompt (`chat.prompts`) whose placeholders are a case's pictures and texts;
`{criteria}` is replaced by the text for the kind of edit. The rubric's keys and ranges define how
an answer is parsed and checked.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal, TypeAlias, get_args

from pydantic import Field, model_validator

from editloop.chat.prompts import Prompt, prompt_names, read_prompt
from editloop.schema import Json
from editloop.settings import Settings
from editloop.sources.taxonomies import plain_label

__all__ = ["Choice", "PictureName", "Rubric", "Scale", "TextName", "read_rubric", "rubric_names"]

PictureName: TypeAlias = Literal["source", "edited", "target", "first", "second"]
TextName: TypeAlias = Literal["instruction", "source_caption", "target_caption"]

_CRITERIA = "criteria"
_OTHERWISE = "otherwise"
_SHIPPED = ("editloop.judges", "rubrics")
_COMPARED = {"first", "second"}


class Scale(Settings):
    """A perspective: its range, and the reply's keys for the score, yes or no, and words.

    A key such as `following.score` or `score.0` addresses a field of an object or list.
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
    """A preference: the reply's keys for the choice and the words, and the names of the choices."""

    key: str
    first: str = "A"
    second: str = "B"
    tie: str = "tie"
    text: str | None = None


class Rubric(Prompt):
    """A question to a judge about a case: to score perspectives or to choose one of two edits."""

    PICTURES: ClassVar[tuple[str, ...]] = get_args(PictureName)
    TEXTS: ClassVar[tuple[str, ...]] = get_args(TextName)
    OWN: ClassVar[tuple[str, ...]] = (_CRITERIA,)

    reply: Literal["json", "lines"] = "json"
    perspectives: dict[str, Scale] = Field(default_factory=dict)
    preference: Choice | None = None
    criteria: dict[str, str] = Field(
        default_factory=dict, description="the text for {criteria}, by kind of edit"
    )

    @model_validator(mode="after")
    def _shows_a_picture(self) -> Rubric:
        if not self.shows:
            known = ", ".join(self.PICTURES)
            raise ValueError(f"the prompt shows no picture: add one of {known}")
        return self

    @model_validator(mode="after")
    def _asks_one_thing(self) -> Rubric:
        compared = _COMPARED & set(self.shows)
        if bool(self.perspectives) == (self.preference is not None):
            raise ValueError("a rubric needs either `perspectives` or a `preference`, not both")
        if self.preference is not None and compared != _COMPARED:
            raise ValueError("a `preference` needs both {first} and {second} in the prompt")
        if self.preference is None and compared:
            raise ValueError("{first} and {second} need a `preference` in the rubric")
        if bool(self.criteria) != (_CRITERIA in self.pieces[1::2]):
            raise ValueError("`criteria` and the placeholder {criteria} need each other")
        return self

    def criteria_of(self, kind: str | None) -> str | None:
        """Return the criteria for a kind of edit, as data sets spell it; None if there are none.

        Criteria named `otherwise` are those of every kind without its own.
        """
        return self._by_kind.get(plain_label(kind), self._by_kind.get(_OTHERWISE))

    @cached_property
    def _by_kind(self) -> dict[str, str]:
        return {plain_label(kind): text for kind, text in self.criteria.items()}

    def content(self) -> dict[str, Json]:
        """Return everything that can change an answer."""
        content = super().content()
        if not self.criteria:
            del content["criteria"]
        return content

    @cached_property
    def schema_of_reply(self) -> Json | None:
        """The JSON schema of the reply, for servers that can enforce one; None if it is not JSON.

        Ranges are left out, because servers differ in their support and replies are checked anyway.
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
    """Read a rubric of the package by its name, or a user's own from a YAML file."""
    return read_prompt(Rubric, name, *_SHIPPED)


def rubric_names() -> list[str]:
    """Return the names of the package's rubrics."""
    return prompt_names(*_SHIPPED)


def _object_of(fields: list[tuple[list[str], Json]]) -> Json | None:
    """Return the schema of an object with these paths; None if one of them addresses a list."""
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
