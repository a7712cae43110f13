"""Loading of published models by transformers and diffusers: files alone, never a folder's code.

A configuration can name Python code beside it (`auto_map`, custom components and pipelines) or in a
repository of the hub (attention kernels). transformers then asks at the terminal, and runs it on
`y`. Here such a folder is refused, without a question.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from editloop.errors import RecipeError
from editloop.schema import Json

__all__ = ["load_pretrained", "refuse_code"]

_CONFIGURATIONS = ("*config.json", "*model_index.json")
_NAMING_CODE = ("auto_map", "custom_pipelines")
_KERNELS = ("attn_implementation", "_attn_implementation", "_attn_implementation_internal")
_LIBRARIES = (None, "diffusers", "transformers")


def load_pretrained(made: Any, folder: Path, *, subfolder: str = "", **options: Any) -> Any:
    """Return `made.from_pretrained(folder)`, from local files and without any code in them.

    Raises RecipeError if the folder asks to run code, and the library's errors.
    """
    place = folder / subfolder
    refuse_code(folder)
    refuse_code(place)
    if not made.__module__.startswith("diffusers.") or hasattr(made, "download"):
        options["trust_remote_code"] = False  # diffusers' networks and schedulers never load code
    return made.from_pretrained(place, local_files_only=True, **options)


def refuse_code(folder: Path) -> None:
    """Raise RecipeError if a configuration in a model's folder, or one below it, names code."""
    for pattern in _CONFIGURATIONS:
        for path in sorted((*folder.glob(pattern), *folder.glob(f"*/{pattern}"))):
            found = next(_code_in(_content(path), path), None)
            if found is not None:
                raise RecipeError(
                    "a model's folder asks to run code that it names, which is never done",
                    value=f"{path}: {found}",
                    fix="use a release that transformers and diffusers load by themselves; if "
                    "this one works without its code, delete the entry from your copy",
                )


def _content(path: Path) -> Json:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):  # the model's loader cannot read it either
        return None


def _code_in(content: Json, path: Path) -> Iterator[str]:
    """Yield the entries of a configuration that name code."""
    if path.name.endswith("model_index.json") and isinstance(content, dict):
        yield from _foreign_parts(content)
    waiting = [content]
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting += node
        elif isinstance(node, dict):
            waiting += node.values()
            yield from (f"{key} {node[key]}" for key in _NAMING_CODE if node.get(key))
            yield from (f"{key} {node[key]}" for key in _KERNELS if "/" in str(node.get(key)))


def _foreign_parts(index: dict[str, Json]) -> Iterator[str]:
    """Yield the parts of a pipeline with other classes than the libraries', or outside it."""
    for name, value in index.items():
        is_part = isinstance(value, list) and bool(value)
        if is_part and not (name.isidentifier() and _is_library(value[0])):
            yield f"{name} {value}"


def _is_library(name: Json) -> bool:
    """Return whether classes are the libraries' own; the safety checker's is a pipeline's."""
    return name in _LIBRARIES or (isinstance(name, str) and _is_pipeline(name))


def _is_pipeline(name: str) -> bool:
    try:
        return name.isidentifier() and find_spec(f"diffusers.pipelines.{name}") is not None
    except ModuleNotFoundError:  # without diffusers, nothing is loaded
        return True
