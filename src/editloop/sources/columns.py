"""The mapping from a table's columns to a sample's fields, with the names that data sets use.

For each field the first listed column with a value in the row is used. A column name may also end
in `_file_name` (Hugging Face's convention for pictures beside a `metadata.jsonl`). Other columns
with plain values are kept in the sample's provenance.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeGuard

from editloop.hub.datasets import uri_of
from editloop.schema import (
    PERSPECTIVES,
    Cause,
    EditSample,
    Image,
    Json,
    Provenance,
    Score,
    Unscored,
)
from editloop.sources.entries import BLANK, Entry, Picture, Problem, below
from editloop.sources.files import MAX_TEXT, names_a_picture
from editloop.sources.scales import REWARDS, number_of, rescaled
from editloop.sources.taxonomies import REAL_EDIT, Taxonomy, edit_type

__all__ = [
    "COLUMNS",
    "PICTURES",
    "REWARD_FIELDS",
    "SCORES",
    "Row",
    "Rules",
    "absent_columns",
    "entry_of",
    "is_number",
    "session_of",
    "spelt_as",
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
_TEXTS = (
    *("id", "instruction", "source_caption", "target_caption"),
    *("inverse_instruction", "edit_object", "licence", "source_uri"),
)


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
    (columns of `REWARD_FIELDS`) are mapped from `scale` to 0..5.
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


class _FaultError(Exception):
    """A fault of a row; becomes a Problem."""


def session_of(row: Row, rules: Rules) -> str | None:
    """Return the session that a row belongs to; None for a single edit."""
    value = _value(row, rules, "session")[1]
    return None if value is None else str(value)


def absent_columns(rules: Rules, names: Collection[str]) -> list[tuple[str, tuple[str, ...]]]:
    """Return the fields that need a column but have none in `names`, with the accepted names."""
    return [
        (need, rules.columns.get(need, ()))
        for need in sorted(rules.needs | rules.named)
        if not any(
            spelt in names for column in rules.columns.get(need, ()) for spelt in spelt_as(column)
        )
    ]


def entry_of(row: Row, rules: Rules, folder: Path, position: int) -> Entry | Problem:
    """Return the edit in a row; `position` is its turn if there is no turn column.

    Without an id column, the id is SESSION/TURN, or the row number.
    """
    try:
        return _entry(row, rules, folder, position)
    except _FaultError as fault:
        return Problem(row.where, str(fault), "correct the row, or take it out", "edit")


def _entry(row: Row, rules: Rules, folder: Path, position: int) -> Entry:
    _check_lengths(row)
    found = {name: _value(row, rules, name) for name in COLUMNS}
    absent = sorted(name for name in rules.needs if found[name][1] is None)
    if absent:
        raise _FaultError(f"it has no {' and no '.join(absent)}")
    pictures = {name: _picture(found[name][1], name, folder) for name in PICTURES}
    texts = {name: _text(found[name][1], name) for name in _TEXTS}
    if names_a_picture(texts["instruction"] or ""):
        raise _FaultError(f"its instruction is a picture's name: {texts['instruction']!r}")
    session = session_of(row, rules)
    turn = _turn(found["turn"][1], position)
    label = found["edit_type"][1]
    sample = EditSample(
        id=texts["id"] or (f"{row.number:06d}" if session is None else f"{session}/{turn}"),
        source=BLANK,
        instruction=texts["instruction"] or "",
        edit_type=None if label is None else edit_type(label, rules.types),
        edit_object=texts["edit_object"],
        source_caption=texts["source_caption"],
        target_caption=texts["target_caption"],
        inverse_instruction=texts["inverse_instruction"],
        session=session,
        turn=turn,
        parent_id=f"{session}/{turn - 1}" if rules.chained and session and turn > 1 else None,
        scores=_scores(row, rules),
        provenance=_provenance(row, rules, {column for column, _ in found.values()}, texts),
    )
    source = pictures["source"]
    assert source is not None  # every layout needs it
    return Entry(row.where, sample, source, pictures["target"], pictures["mask"])


def _check_lengths(row: Row) -> None:
    for name, value in row.values.items():
        if isinstance(value, str) and len(value) > MAX_TEXT:
            raise _FaultError(f"its {name} has {len(value):,} characters, more than {MAX_TEXT:,}")


def _value(row: Row, rules: Rules, name: str) -> tuple[str | None, Json]:
    """Return the column that holds a field and its value; (None, None) if there is none."""
    for column in rules.columns.get(name, ()):
        for spelt in spelt_as(column):
            value = row.values.get(spelt)
            if value is not None and not (isinstance(value, str) and not value.strip()):
                return spelt, value
    return None, None


def spelt_as(column: str) -> tuple[str, str]:
    """Return a column's name, and the one for pictures beside a `metadata.jsonl`."""
    return column, f"{column}_file_name"


def _picture(value: Json, name: str, folder: Path) -> Picture | None:
    """Return the picture from a file name, from bytes or from Hugging Face's image column."""
    if value is None:
        return None
    if isinstance(value, bytes):
        return Image(value)
    if isinstance(value, dict):
        if not isinstance(value.get("bytes"), bytes):
            raise _FaultError(f"its {name} holds no bytes of a picture")
        return Image(value["bytes"], value.get("path"))
    path = below(folder, value)
    if path is None:
        raise _FaultError(f"its {name} names no file below the folder: {value!r:.80}")
    return path


def _text(value: Json, name: str) -> str | None:
    if name == "id" and isinstance(value, int):
        return str(value)
    if value is not None and not isinstance(value, str):
        raise _FaultError(f"its {name} is no text: {value!r:.80}")
    if value is not None and value.encode("utf-8", "ignore").decode() != value:
        raise _FaultError(f"its {name} holds half of a surrogate pair: {value[:80]!r}")
    return value


def _turn(value: Json, position: int) -> int:
    if value is None:
        return position
    if not isinstance(value, int) or value < 1:
        raise _FaultError(f"its turn is no number from 1 on: {value!r:.80}")
    return value


def _scores(row: Row, rules: Rules) -> dict[str, Score | Unscored]:
    """Return the measures in the row, by column name."""
    version = f"{rules.name} {rules.version}"
    found: dict[str, Score | Unscored] = {}
    for name in rules.scores:
        value = row.values.get(name)
        if is_number(value):
            found[name] = Score(float(value), version=version)
        elif name in row.values:
            found[name] = _no_number(value, version)
    rewards = {name: rules.columns[name][0] for name in PERSPECTIVES if rules.columns.get(name)}
    for name, column in rewards.items():
        value, words = number_of(row.values.get(column)), _value(row, rules, f"{name}_text")[1]
        score = Score(value or 0.0, text=None if words is None else str(words), version=version)
        missing = _no_number(row.values.get(column), version)
        found[name] = missing if value is None else rescaled(score, rules.scale)
    return found


def _no_number(value: Json, version: str) -> Unscored:
    return Unscored(f"the data set has no number: {value!r:.80}", version, Cause.NO_ANSWER)


def _provenance(
    row: Row, rules: Rules, used: set[str | None], texts: Mapping[str, str | None]
) -> Provenance:
    labels = {*rules.columns.get("edit_type", ())}  # kept too: the type may be less specific
    extra = {
        name: value
        for name, value in row.values.items()
        if (name not in {*used, *rules.scores} or name in labels) and _is_plain(value)
    }
    uri = texts["source_uri"] or f"{uri_of(row.file)}#{row.number}"
    return Provenance(
        rules.name, rules.version, parameters=extra, licence=texts["licence"], source_uri=uri
    )


def is_number(value: Json) -> TypeGuard[int | float]:
    """Return whether a value is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_plain(value: Json) -> bool:
    return isinstance(value, str | bool) or is_number(value)
