"""Columns as paths: a column's name, and what to take of its value.

`name` is a column. `name[0]`, `name[-1]` are items of a list, and `edit.instruction` is a field of
a mapping; taken of a list of mappings, it is the list of their fields. A column that has exactly
the given name is meant before any path.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping

from editloop.schema import Json

__all__ = ["column_of", "value_at"]

_PATH = re.compile(r"(?P<column>[^.\[\]]+)(?P<steps>(\.[^.\[\]]+|\[-?\d+\])+)")
_STEP = re.compile(r"\.(?P<field>[^.\[\]]+)|\[(?P<item>-?\d+)\]")


def column_of(path: str, columns: Collection[str]) -> str:
    """Return the column that a path begins with."""
    found = None if path in columns else _PATH.fullmatch(path)
    return path if found is None else found["column"]


def value_at(values: Mapping[str, Json], path: str) -> Json:
    """Return the value at a path in a row; None if there is none."""
    if path in values:
        return values[path]
    found = _PATH.fullmatch(path)
    value = None if found is None else values.get(found["column"])
    for step in _STEP.finditer(found["steps"]) if found else ():
        value = _step(_unfolded(value), step["field"], step["item"])
    return value


def _step(value: Json, field: str | None, item: str | None) -> Json:
    if item is not None:
        at = int(item)
        return value[at] if isinstance(value, list) and -len(value) <= at < len(value) else None
    if isinstance(value, list):
        return [_step(each, field, None) for each in value]
    return value.get(field) if isinstance(value, dict) else None


def _unfolded(value: Json) -> Json:
    """Return a list or mapping that a table holds as JSON text, and any other value unchanged."""
    if not (isinstance(value, str) and value.lstrip()[:1] in ("[", "{")):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value
