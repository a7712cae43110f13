"""Columns whose part in an edit is guessed by their names: refused where several could be meant."""

from __future__ import annotations

from collections.abc import Mapping

from editloop.schema import Json
from editloop.sources.cell_pictures import holds_base64
from editloop.sources.column_paths import column_of, value_at
from editloop.sources.columns import PICTURES, Rules, is_blank, spelt_as
from editloop.sources.files import names_a_picture

__all__ = ["ambiguity_of"]

_TEXTS = ("instruction", "source_caption", "target_caption", "inverse_instruction")
_ANY_PICTURE = {"image", "file_name"}  # names that say nothing of a picture's part in an edit


def ambiguity_of(values: Mapping[str, Json], rules: Rules) -> str | None:
    """Return why the columns of a row's fields cannot be guessed, or None.

    A field is guessed if one column fits. A column `image` may be the source or, as several
    trainers name it, the target: it is the source only beside no picture of unknown part.
    """
    if not rules.guessed:
        return None
    found = {name: _candidates(values, rules, name) for name in (*PICTURES, *_TEXTS)}
    for name, columns in found.items():
        if len({_named(values, each) for each in columns}) > 1:
            return f"{' and '.join(columns)} may each be the {name.replace('_', ' ')}"
    others = _others(values, rules, found)
    if not others:
        return None
    if "source" not in rules.mapped and _ANY_PICTURE.intersection(found["source"]):
        return f"{' and '.join([*found['source'], *others])} may each be the source"
    if rules.mapped and "target" not in rules.mapped and not found["target"]:
        return f"{' and '.join(others)} may be the target, or no part of the edit"
    return None


def _candidates(values: Mapping[str, Json], rules: Rules, name: str) -> list[str]:
    """Return the columns of a row that may hold a field: a picture if it is one, or a text."""
    spelt = [each for column in rules.columns.get(name, ()) for each in spelt_as(column)]
    found = {each: value_at(values, each) for each in spelt}
    there = {each: value for each, value in found.items() if not is_blank(value)}
    return [each for each in there if _is_picture(there[each]) == (name in PICTURES)]


def _others(values: Mapping[str, Json], rules: Rules, found: Mapping[str, list[str]]) -> list[str]:
    """Return the columns with pictures that belong to no field."""
    used = {_named(values, column) for name in PICTURES for column in found[name]}
    fields = rules.columns.keys() - {"instruction"}  # a picture may stand in a column `edit`
    known = {
        column_of(each, values)
        for name in fields
        for column in rules.columns[name]
        for each in spelt_as(column)
    }
    return [
        name
        for name, value in values.items()
        if _is_picture(value) and name not in known and _named(values, name) not in used
    ]


def _named(values: Mapping[str, Json], column: str) -> str | tuple[str]:
    """Return what tells a column's value from another's: its text, or else the column itself."""
    value = value_at(values, column)
    return value if isinstance(value, str) else (column,)


def _is_picture(value: Json) -> bool:
    """Return whether a value is a picture's bytes, Hugging Face's image, or a picture's name."""
    if isinstance(value, str):
        return holds_base64(value) or (names_a_picture(value) and "://" not in value)
    if isinstance(value, list):
        return bool(value) and _is_picture(value[0])
    return isinstance(value, bytes) or (isinstance(value, dict) and "bytes" in value)
