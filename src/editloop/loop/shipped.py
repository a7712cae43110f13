"""The recipes that come with the package: YAML files in `editloop/recipes`, read by name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

from editloop.errors import RecipeError, known_names

__all__ = ["recipe_file", "shipped_recipe", "shipped_recipes"]

_SUFFIXES = (".yaml", ".yml")
_OWN = "a recipe of your own is a .yaml file"


def shipped_recipes() -> dict[str, str]:
    """Return the shipped recipes by name, each with its title: the first line of its comment."""
    return {
        name: shipped_recipe(name).decode().partition("\n")[0].lstrip("# ").rstrip()
        for name in _names()
    }


def shipped_recipe(name: str) -> bytes:
    """Return the content of a shipped recipe's file; raises RecipeError for an unknown name."""
    found: bytes = _shipped(name).read_bytes()
    return found


@contextmanager
def recipe_file(recipe: Path | str) -> Iterator[Path]:
    """Give the file of a recipe: a shipped recipe's by its name, or the file at a path.

    Text without a path separator and without the suffix .yaml or .yml is a name. Raises
    RecipeError for an unknown name, and for a name that a file in the working directory has too.
    """
    if isinstance(recipe, Path) or not _is_name(recipe):
        _check_path(Path(recipe))
        yield Path(recipe)
        return
    if Path(recipe).is_file():
        raise RecipeError(
            "this could be a shipped recipe or the file of this name",
            value=recipe,
            fix=f"write ./{recipe} for the file, or rename it to {recipe}.yaml",
        )
    with resources.as_file(_shipped(recipe)) as path:
        yield path


def _is_name(text: str) -> bool:
    separators = {os.sep, os.altsep or os.sep}
    return not text.endswith(_SUFFIXES) and not separators.intersection(text)


def _check_path(path: Path) -> None:
    """Raise RecipeError if a file is missing and only its name is a shipped recipe's."""
    if path.stem in _names() and not path.exists():
        raise RecipeError(
            "no such file, but there is a shipped recipe of this name",
            value=path,
            fix=f"write {path.stem} for the shipped recipe; `editloop recipes {path.stem} > "
            f"{path.stem}.yaml` copies it",
        )


def _shipped(name: str) -> Any:
    names = _names()
    if name not in names:
        fix = f"{known_names(name, names)}; {_OWN}"
        raise RecipeError("unknown recipe", value=name or "''", fix=fix)
    return _folder() / f"{name}.yaml"


def _names() -> list[str]:
    return sorted(
        path.name.removesuffix(".yaml")
        for path in _folder().iterdir()
        if path.name.endswith(".yaml")
    )


def _folder() -> Any:
    return resources.files("editloop") / "recipes"
