"""Which column of a table is which field of a sample, in the words of the field's data sets.

For each field the first name that a row has, with a value, counts; a column may also be called so
with `_file_name` behind (Hugging Face's way to name pictures beside a `metadata.jsonl`). Columns
that are no field are kept, if they hold plain values, in the sample's provenance.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeGuard

from editloop.hub.datasets import uri_of
from editloop.schema import Cause, EditSample, Image, Json, Provenance, Score, Unscored
from editloop.sources.entries import BLANK, Entry, Picture, Problem, below
from editloop.sources.taxonomies import REAL_EDIT, Taxonomy, edit_type

__all__ = [
    "COLUMNS",
    "SCORES",
    "Row",
    "Rules",
    "absent_columns",
    "entry_of",
    "is_number",
    "session_of",
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

# Measures that UltraEdit publishes with each edit; InstructPix2Pix's are called by these names too.
SCORES = (
    *("clip_sim_source", "clip_sim_target", "clip_sim_dir", "clip_sim_image"),
    *("dinov2_sim", "ssim"),
)

_PICTURES = ("source", "target", "mask")
_TEXTS = (
    *("id", "instruction", "source_caption", "target_caption"),
    *("inverse_instruction", "edit_object", "licence", "source_uri"),
)


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table: its place in words, its number in the data set from 0, and its file.

    `at` is its number in a file of rows, from 0.
    """

    where: str
    number: int
    values: Mapping[str, Json]
    file: Path
    at: int = 0


@dataclass(frozen=True, slots=True)
class Rules:
    """How a data set's rows are read: its columns, its kinds of edit, the fields it must have.

    Every edit has what is in `needs`; what is in `named` has a column, where edits may be empty.
    `only` is a column and the value by which rows belong. `scores` are columns of numbers that were
    measured of each edit. In a `chained` set each turn's parent is the turn before.
    """

    name: str
    version: str = "1"
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: COLUMNS)
    types: Taxonomy = field(default_factory=lambda: REAL_EDIT)
    needs: frozenset[str] = frozenset({"source", "instruction"})
    named: frozenset[str] = frozenset()
    only: tuple[str, str] | None = None
    scores: tuple[str, ...] = ()
    chained: bool = False


class _FaultError(Exception):
    """What is wrong with a row; becomes a Problem."""


def session_of(row: Row, rules: Rules) -> str | None:
    """The session that a row belongs to; None for a lone edit."""
    value = _value(row, rules, "session")[1]
    return None if value is None else str(value)


def absent_columns(rules: Rules, names: Collection[str]) -> list[tuple[str, tuple[str, ...]]]:
    """The fields that need a column and no column of these names can be, with what could be."""
    return [
        (need, rules.columns.get(need, ()))
        for need in sorted(rules.needs | rules.named)
        if not any(
            spelt in names for column in rules.columns.get(need, ()) for spelt in _spelt(column)
        )
    ]


def entry_of(row: Row, rules: Rules, folder: Path, position: int) -> Entry | Problem:
    """The edit in a row; `position` is its turn where no column says so.

    Without a column of ids, an edit is SESSION/TURN, or the number of its row.
    """
    try:
        return _entry(row, rules, folder, position)
    except _FaultError as fault:
        return Problem(row.where, str(fault), "correct the row, or take it out", "edit")


def _entry(row: Row, rules: Rules, folder: Path, position: int) -> Entry:
    found = {name: _value(row, rules, name) for name in COLUMNS}
    absent = sorted(name for name in rules.needs if found[name][1] is None)
    if absent:
        raise _FaultError(f"it has no {' and no '.join(absent)}")
    pictures = {name: _picture(found[name][1], name, folder) for name in _PICTURES}
    texts = {name: _text(found[name][1], name) for name in _TEXTS}
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


def _value(row: Row, rules: Rules, name: str) -> tuple[str | None, Json]:
    """The column that holds a field, and its value; (None, None) if there is none."""
    for column in rules.columns.get(name, ()):
        for spelt in _spelt(column):
            value = row.values.get(spelt)
            if value is not None and not (isinstance(value, str) and not value.strip()):
                return spelt, value
    return None, None


def _spelt(column: str) -> tuple[str, str]:
    return column, f"{column}_file_name"


def _picture(value: Json, name: str, folder: Path) -> Picture | None:
    """A file's name below the folder, bytes, or the bytes in Hugging Face's image column."""
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
        raise _FaultError(f"its {name} names no file below the folder: {value!r}")
    return path


def _text(value: Json, name: str) -> str | None:
    if name == "id" and isinstance(value, int):
        return str(value)
    if value is not None and not isinstance(value, str):
        raise _FaultError(f"its {name} is no text: {value!r}")
    if value is not None and value.encode("utf-8", "ignore").decode() != value:
        raise _FaultError(f"its {name} holds half of a surrogate pair: {value[:80]!r}")
    return value


def _turn(value: Json, position: int) -> int:
    if value is None:
        return position
    if not isinstance(value, int) or value < 1:
        raise _FaultError(f"its turn is no number from 1 on: {value!r}")
    return value


def _scores(row: Row, rules: Rules) -> dict[str, Score | Unscored]:
    """The measures that the row has, under the names of their columns."""
    version = f"{rules.name} {rules.version}"
    found: dict[str, Score | Unscored] = {}
    for name in rules.scores:
        value = row.values.get(name)
        if is_number(value):
            found[name] = Score(float(value), version=version)
        elif name in row.values:
            found[name] = Unscored(
                f"the data set has no number: {value!r}", version, Cause.NO_ANSWER
            )
    return found


def _provenance(
    row: Row, rules: Rules, used: set[str | None], texts: Mapping[str, str | None]
) -> Provenance:
    labels = {*rules.columns.get("edit_type", ())}  # kept too: the type may say less
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
    """Whether a value is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_plain(value: Json) -> bool:
    return isinstance(value, str | bool) or is_number(value)
