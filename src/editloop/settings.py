"""From YAML to typed, frozen settings: strict, and every error names its place.

One reader serves recipes, protocol cards and rubrics. A key given twice, an unknown key and a value
of the wrong type are refused before anything runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from editloop.errors import RecipeError, known_names
from editloop.schema import Json

__all__ = ["Settings", "read_yaml", "said", "validate"]


class Settings(BaseModel):
    """The base of all settings: frozen; unknown keys, and numbers that are none, are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


_Model = TypeVar("_Model", bound=BaseModel)


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
