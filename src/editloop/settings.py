"""From YAML to typed, frozen settings: strict, and every error names its place.

One reader serves recipes, protocol cards and rubrics. A key given twice, an unknown key and a value
of the wrong type are refused before anything runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from editloop.errors import RecipeError, known_names
from editloop.schema import Json

__all__ = [
    "PartSettings",
    "Recipe",
    "Settings",
    "override",
    "read_recipe",
    "read_yaml",
    "said",
    "validate",
]


class Settings(BaseModel):
    """The base of all settings: frozen; unknown keys, and numbers that are none, are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


_Model = TypeVar("_Model", bound=BaseModel)


class PartSettings(BaseModel):
    """One entry of a recipe's list: `kind`, an optional `name`, and the kind's own settings."""

    model_config = ConfigDict(frozen=True, extra="allow")

    kind: str
    name: str = Field(default="", pattern=r"^[\w.+-]*$")

    @model_validator(mode="before")
    @classmethod
    def _default_name(cls, value: Json) -> Json:
        if isinstance(value, Mapping) and "kind" in value and "name" not in value:
            return {**value, "name": value["kind"]}
        return value

    @property
    def own(self) -> dict[str, Json]:
        """The settings that belong to the kind."""
        return dict(self.model_extra or {})


class Recipe(Settings):
    """A whole loop: which parts, in which order, with which settings."""

    name: str = Field(pattern=r"^[\w.+-]+$")
    seed: int = Field(default=0, ge=0)
    sources: tuple[PartSettings, ...] = ()
    build: tuple[PartSettings, ...] = ()
    judge: tuple[PartSettings, ...] = ()
    train: tuple[PartSettings, ...] = ()
    evaluate: tuple[PartSettings, ...] = ()
    report: dict[str, Json] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _names_are_unique(self) -> Recipe:
        for part in ("sources", "build", "judge", "train", "evaluate"):
            names = [item.name for item in getattr(self, part)]
            twice = {name for name in names if names.count(name) > 1}
            if twice:
                raise ValueError(f"{part} has two parts named {sorted(twice)[0]!r}: give a `name`")
        return self


def read_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe in a YAML file, with `key=value` overrides applied."""
    content = read_yaml(path)
    for text in overrides:
        content = override(content, text)
    return validate(Recipe, content, where=str(path))


def validate(model: type[_Model], content: Mapping[str, Json], *, where: str) -> _Model:
    """The settings that `content` spells, or a RecipeError that names key, value and fix."""
    try:
        return model.model_validate(dict(content))
    except ValidationError as error:
        raise _explain(error, model, where) from None


def _explain(error: ValidationError, model: type[BaseModel], where: str) -> RecipeError:
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        fix = known_names(str(first["loc"][-1]), model.model_fields)
        return RecipeError(f"{where}: unknown key", value=place, fix=fix)
    return RecipeError(
        f"{where}: {place or 'settings'}: {said(first)}",
        value=repr(first["input"])[:200],
        fix="correct the value",
    )


def said(error: Mapping[str, Any]) -> str:
    """What one of pydantic's errors says, without its word for what a validator raised."""
    return str(error["msg"]).removeprefix("Value error, ")


class _StrictLoader(yaml.SafeLoader):
    """Safe YAML that refuses a key given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                mark = key_node.start_mark
                raise RecipeError(
                    f"{mark.name}:{mark.line + 1}: a key is given twice",
                    value=key,
                    fix="keep one of the two",
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> dict[str, Json]:
    """The mapping in a YAML file; syntax errors name file, line and column."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        told = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise RecipeError(
            f"cannot read a YAML file: {told}",
            value=path,
            fix="name a readable file in UTF-8",
        ) from error
    loader = _StrictLoader(text)
    loader.name = str(path)
    try:
        content = loader.get_single_data()
    except yaml.YAMLError as error:
        raise RecipeError("not valid YAML", value=path, fix=str(error)) from error
    finally:
        loader.dispose()
    if not isinstance(content, dict):
        raise RecipeError(
            "a YAML file holds no mapping", value=path, fix="write `key: value` lines"
        )
    return content


def override(content: Mapping[str, Json], text: str) -> dict[str, Json]:
    """Apply `train.reward.steps=200`: dots go into mappings, and into lists by a part's name."""
    path, equals, value = text.partition("=")
    if not equals or not path:
        raise RecipeError("an override has no value", value=text, fix="write --set KEY=VALUE")
    return dict(_replaced(content, path.split("."), yaml.safe_load(value), path))


def _replaced(node: Json, keys: Sequence[str], value: Json, path: str) -> Json:
    if not keys:
        return value
    head, *rest = keys
    if isinstance(node, list):
        names = [item.get("name", item.get("kind")) for item in node if isinstance(item, Mapping)]
        if head not in names:
            raise RecipeError(
                f"override {path!r}: no part has this name",
                value=head,
                fix=known_names(head, map(str, names)),
            )
        at = names.index(head)
        return [*node[:at], _replaced(node[at], rest, value, path), *node[at + 1 :]]
    if node is None:
        node = {}
    if not isinstance(node, Mapping):
        raise RecipeError(
            f"override {path!r}: nothing to go into", value=head, fix="shorten the key"
        )
    return {**node, head: _replaced(node.get(head), rest, value, path)}
