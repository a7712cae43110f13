"""The mapping from a table's columns to a sample's fields, with the names that data sets use.

For each field the first listed column with a value in the row is used. A column may be a path
(`column_paths`), and its name may also end
in `_file_name` (Hugging Face's convention for pictures beside a `metadata.jsonl`). Other columns
with plain values are kept in the sample's provenance.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeGuard

from editloop.schema import PERSPECTIVES, Json
from editloop.sources.column_paths import column_of, value_at
from editloop.sources.scales import REWARDS
from editloop.sources.taxonomies import REAL_EDIT, Taxonomy

__all__ = [
    "COLUMNS",
    "PICTURES",
    "REWARD_FIELDS",
    "SCORES",
    "Row",
    "Rules",
    "absent_columns",
    "column_roots",
    "is_blank",
    "is_number",
    "session_of",
    "spelt_as",
    "value_of",
]

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "id": ("id", "idx", "key"),
    "session": ("session", "session_id", "img_id"),
    "turn": ("turn", "turn_index"),
    "source": (
        *("source", "source_image", "source_img", "input_image", "input", "image"),
        *("original_image", "file_name"),
    ),
    "target": (
        *("target", "target_image", "target_img", "output_image", "output"),
        *("edited_image", "edited"),
    ),
    "mask": ("mask", "mask_image", "mask_img"),
    "references": ("references", "reference_images", "reference_image"),
    "instruction": (
        "instruction",
        "edit_instruction",
        "editing_instruction",
        "edit",
        "edit_prompt",
    ),
    "source_caption": ("source_caption", "input_caption", "original_prompt"),
    "target_caption": ("target_caption", "output_caption", "edited_prompt", "editing_prompt"),
    "inverse_instruction": ("inverse_instruction", "inverse_edit"),
    "edit_type": ("edit_type", "task", "task_type", "type"),
    "edit_object": ("edit_object", "object"),
    "licence": ("licence", "license"),
    "source_uri": ("source_uri", "source_url", "image_url", "url"),
}

# Measures that UltraEdit publishes with each edit; InstructPix2Pix's get the same names.
SCORES = (
    *("clip_sim_source", "clip_sim_target", "clip_sim_dir", "clip_sim_image"),
    *("dinov2_sim", "ssim"),
)

# The fields of a user's own rewards, which are never guessed: scores, and what is wrong, in words.
REWARD_FIELDS = (*PERSPECTIVES, *(f"{name}_text" for name in PERSPECTIVES))

PICTURES = ("source", "target", "mask")


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table: its location as text, its number in the data set from 0, and its file.

    `at` is its number within the file, from 0.
    """

    where: str
    number: int
    values: Mapping[str, Json]
    file: Path
    at: int = 0


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules to read a data set's rows: its columns, its edit types and its required fields.

    Fields in `needs` must have a value in every row; fields in `named` must have a column, but it
    may be empty. `only` are columns and the values that a row must have there to be read. `scores`
    are columns with measures of each edit. In a `chained` set a turn's parent is the turn before.
    `guessed`: columns are guessed by their names, except for the fields in `mapped`. Rewards
    (columns of `REWARD_FIELDS`) are mapped from `scale` to 0..5. `outside`: files may be
    named outside of the data set's folder.
    """

    name: str
    version: str = "1"
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: COLUMNS)
    types: Taxonomy = field(default_factory=lambda: REAL_EDIT)
    needs: frozenset[str] = frozenset({"source", "instruction"})
    named: frozenset[str] = frozenset()
    only: Mapping[str, Json] = field(default_factory=dict)
    scores: tuple[str, ...] = ()
    chained: bool = False
    guessed: bool = False
    mapped: frozenset[str] = frozenset()
    scale: tuple[float, float] = REWARDS
    outside: bool = False


def session_of(row: Row, rules: Rules) -> str | None:
    """Return the session that a row belongs to; None for a single edit."""
    value = value_of(row, rules, "session")[1]
    return None if value is None else str(value)


def absent_columns(rules: Rules, names: Collection[str]) -> list[tuple[str, tuple[str, ...]]]:
    """Return the fields that need a column but have none in `names`, with the accepted names."""
    return [
        (need, rules.columns.get(need, ()))
        for need in sorted(rules.needs | rules.named)
        if not any(
            column_of(spelt, names) in names
            for column in rules.columns.get(need, ())
            for spelt in spelt_as(column)
        )
    ]


def column_roots(rules: Rules, names: Collection[str]) -> frozenset[str]:
    """Return the columns among `names` that the fields of the rules begin with."""
    paths = [
        each for columns in rules.columns.values() for name in columns for each in spelt_as(name)
    ]
    return frozenset(column_of(path, names) for path in (*paths, *rules.only, *rules.scores))


def value_of(row: Row, rules: Rules, name: str) -> tuple[str | None, Json]:
    """Return the column that holds a field and its value; (None, None) if there is none."""
    for column in rules.columns.get(name, ()):
        for spelt in spelt_as(column):
            value = value_at(row.values, spelt)
            if not is_blank(value):
                return spelt, value
    return None, None


def is_blank(value: Json) -> bool:
    """Return whether a cell holds nothing: None, white space, or an empty list."""
    return value is None or value == [] or (isinstance(value, str) and not value.strip())


def spelt_as(column: str) -> tuple[str, str]:
    """Return a column's name, and the one for pictures beside a `metadata.jsonl`."""
    return column, f"{column}_file_name"


def is_number(value: Json) -> TypeGuard[int | float]:
    """Return whether a value is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
