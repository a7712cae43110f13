"""Recipes: the typed, frozen description of a whole loop, read from YAML and overrides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml
from pydantic import Field, model_validator

from editloop.errors import RecipeError, known_names
from editloop.loop.entries import Entry, long_form
from editloop.loop.retries import unrolled
from editloop.loop.shipped import recipe_file
from editloop.schema import Json
from editloop.settings import Settings, read_yaml, validate

__all__ = ["Recipe", "override", "read_recipe"]


class Recipe(Settings):
    """A whole loop: its parts, in order, with their settings."""

    name: str = Field(pattern=r"^[\w.+-]+$")
    seed: int = Field(default=0, ge=0)
    sources: tuple[Entry, ...] = ()
    build: tuple[Entry, ...] = ()
    judge: tuple[Entry, ...] = ()
    train: tuple[Entry, ...] = ()
    evaluate: tuple[Entry, ...] = ()
    report: dict[str, Json] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _names_are_unique(self) -> Recipe:
        for part in ("sources", "build", "judge", "train", "evaluate"):
            names = [item.name for item in getattr(self, part)]
            twice = {name for name in names if names.count(name) > 1}
            if twice:
                raise ValueError(f"{part} has two parts named {sorted(twice)[0]!r}: give a `name`")
        return self

    @model_validator(mode="after")
    def _retries_can_be_unrolled(self) -> Recipe:
        for entry in self.build:
            unrolled(entry)
        return self


def read_recipe(recipe: Path | str, overrides: Sequence[str] = ()) -> Recipe:
    """Read a shipped recipe by its name, or a YAML file, and apply `key=value` overrides.

    Text without a path separator and without the suffix .yaml or .yml is a name; a Path is always
    a file.
    """
    with recipe_file(recipe) as path:
        content = _in_long_form(read_yaml(path))
        for text in overrides:
            content = override(content, text)
        return validate(Recipe, content, where=str(path))


def _in_long_form(content: dict[str, Json]) -> dict[str, Json]:
    build = content.get("build")
    return {**content, "build": list(map(long_form, build))} if isinstance(build, list) else content


def override(content: Mapping[str, Json], text: str) -> dict[str, Json]:
    """Apply an override such as `train.reward.steps=200`; lists are indexed by part name."""
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
            f"override {path!r}: not a mapping, so it has no such key",
            value=head,
            fix="shorten the key",
        )
    return {**node, head: _replaced(node.get(head), rest, value, path)}
