"""Typed, frozen settings, read strictly from YAML; every error gives its location.

Recipes, protocol cards and rubrics use the same reader. Duplicate keys, unknown keys and values of
the wrong type raise RecipeError before anything runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from editloop.errors import RecipeError, known_names
from editloop.schema import Json

__all__ = ["Settings", "read_yaml", "said", "validate"]


class Settings(BaseModel):
    """The base of all settings: frozen; unknown keys, NaN and infinite numbers are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


_Model = TypeVar("_Model", bound=BaseModel)


def validate(model: type[_Model], content: Mapping[str, Json], *, where: str) -> _Model:
    """Return `content` as settings; raises RecipeError with key, value and fix."""
    try:
        return model.model_validate(dict(content))
    except ValidationError as error:
        raise _explain(error, model, where) from None


def _explain(error: ValidationError, model: type[BaseModel], where: str) -> RecipeError:
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        fix = known_names(str(first["loc"][-1]), _keys_at(model, first["loc"][:-1]))
        return RecipeError(f"{where}: unknown key", value=place, fix=fix)
    return RecipeError(
        f"{where}: {place or 'settings'}: {said(first)}",
        value=repr(first["input"])[:200],
        fix="correct the value",
    )


def _keys_at(model: type[BaseModel], place: Sequence[int | str]) -> list[str]:
    """Return the keys that the settings at a place take."""
    models: list[Any] = [model]
    for part in place:
        inner = [
            found
            for each in models
            if part in each.model_fields
            for found in _models_in(each.model_fields[part].annotation)
        ]
        named = [each for each in models if each.__name__ == part]  # as pydantic tells unions apart
        models = inner or named or models
    return list(dict.fromkeys(name for each in models for name in each.model_fields))


def _models_in(annotation: Any) -> list[Any]:
    """Return the settings that an annotation, such as a union or a list, holds."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [each for part in get_args(annotation) for each in _models_in(part)]


def said(error: Mapping[str, Any]) -> str:
    """Return the message of a pydantic error, without the prefix of validator errors."""
    return str(error["msg"]).removeprefix("Value error, ")


class _StrictLoader(yaml.SafeLoader):
    """A safe YAML loader that raises RecipeError on duplicate keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                mark = key_node.start_mark
                raise RecipeError(
                    f"{mark.name}:{mark.line + 1}: duplicate key",
                    value=key,
                    fix="remove one of the two",
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> dict[str, Json]:
    """Read the mapping in a YAML file; syntax errors give file, line and column."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise RecipeError(
            f"cannot read a YAML file: {reason}", value=path, fix="give a readable file in UTF-8"
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
            "a YAML file must contain a mapping", value=path, fix="write `key: value` lines"
        )
    return content
