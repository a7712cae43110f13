"""The edits in a table's row, by the rules of its data set."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from editloop.hub.datasets import uri_of
from editloop.schema import PERSPECTIVES, Cause, EditSample, Json, Provenance, Score, Unscored
from editloop.sources.cell_pictures import AddressError, FaultError, holds_base64, picture_in
from editloop.sources.column_paths import column_of, value_at
from editloop.sources.columns import (
    COLUMNS,
    PICTURES,
    Row,
    Rules,
    is_blank,
    is_number,
    session_of,
    value_of,
)
from editloop.sources.entries import BLANK, Entry, Problem
from editloop.sources.files import MAX_TEXT, names_a_picture
from editloop.sources.scales import number_of, rescaled
from editloop.sources.taxonomies import edit_type

__all__ = ["entries_of"]

_NOT_PER_TURN = frozenset({"id", "session", "turn", "licence", "source_uri", "references"})
_TEXTS = (
    *("id", "instruction", "source_caption", "target_caption"),
    *("inverse_instruction", "edit_object", "licence", "source_uri"),
)


def entries_of(
    row: Row, rules: Rules, folder: Path, position: int, turn: int | None = None
) -> list[Entry] | Problem:
    """Return the edit in a row, or the turns of a row that holds a whole session in lists.

    `position` is the turn of a single edit if there is no turn column; `turn` is used in place of
    both. Without an id column, the id is SESSION/TURN, or the row number.
    """
    try:
        _check_lengths(row)
        if isinstance(value_of(row, rules, "instruction")[1], list):
            return _session(row, rules, folder)
        return [_entry(row, rules, folder, position, turn)]
    except AddressError as fault:
        return Problem(row.where, str(fault), "download it", "edit", "address")
    except FaultError as fault:
        return Problem(row.where, str(fault), "correct the row, or take it out", "edit")


def _session(row: Row, rules: Rules, folder: Path) -> list[Entry]:
    """Return the turns of a row with lists: of instructions, and of what else has one per turn."""
    found = {name: value_of(row, rules, name) for name in COLUMNS if name not in _NOT_PER_TURN}
    lists = {name: each for name, (_, each) in found.items() if isinstance(each, list)}
    count = len(lists["instruction"])
    if "target" not in lists:
        column = found["instruction"][0]
        raise FaultError(
            f"its instruction is a list of {count}, and it has no list of targets (for one of them "
            f"--map instruction={column}[0])"
        )
    for name, each in lists.items():
        if len(each) != count:
            raise FaultError(f"it has {count} instructions, but {len(each)} of {name}")
    own = value_of(row, rules, "id")[1] if (session := session_of(row, rules)) is None else session
    session = f"{row.number:06d}" if own is None else str(own)
    chained = "source" not in lists
    entries = []
    for at in range(count):
        values = {**row.values, **{str(found[name][0]): each[at] for name, each in lists.items()}}
        if chained and at:
            values[str(found["source"][0])] = lists["target"][at - 1]
        entry = _entry(replace(row, values=values), rules, folder, at + 1, at + 1)
        parent = f"{session}/{at}" if chained and at else None
        sample = replace(entry.sample, id=f"{session}/{at + 1}", session=session, parent_id=parent)
        entries.append(replace(entry, sample=sample))
    return entries


def _entry(row: Row, rules: Rules, folder: Path, position: int, turn: int | None) -> Entry:
    found = {name: value_of(row, rules, name) for name in COLUMNS}
    absent = sorted(name for name in rules.needs if found[name][1] is None)
    if absent:
        raise FaultError(f"it has no {' and no '.join(absent)}")
    pictures = {
        name: None
        if found[name][1] is None
        else picture_in(found[name][1], name, folder, row.file, outside=rules.outside)
        for name in PICTURES
    }
    references = tuple(
        picture_in(each, "reference", folder, row.file, outside=rules.outside)
        for each in _references(row, rules)
    )
    texts = {name: _text(found[name][1], name) for name in _TEXTS}
    if names_a_picture(texts["instruction"] or ""):
        raise FaultError(f"its instruction is a picture's name: {texts['instruction']!r}")
    session = session_of(row, rules)
    turn = _turn(found["turn"][1], position) if turn is None else turn
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
        provenance=_provenance(
            row, rules, {column for column, _ in found.values() if column}, texts
        ),
    )
    source = pictures["source"]
    assert source is not None  # every layout needs it
    return Entry(row.where, sample, source, pictures["target"], pictures["mask"], references)


def _check_lengths(row: Row) -> None:
    for name, value in row.values.items():
        if isinstance(value, str) and len(value) > MAX_TEXT and not holds_base64(value):
            raise FaultError(f"its {name} has {len(value):,} characters, more than {MAX_TEXT:,}")


def _references(row: Row, rules: Rules) -> list[Json]:
    """Return the cells of a row with reference pictures, of every column that is mapped to them."""
    found: list[Json] = []
    for column in rules.columns.get("references", ()):
        value = value_at(row.values, column)
        if not is_blank(value):
            found += value if isinstance(value, list) else [value]
    return found


def _text(value: Json, name: str) -> str | None:
    if name == "id" and isinstance(value, int):
        return str(value)
    if value is not None and not isinstance(value, str):
        raise FaultError(f"its {name} is not a text: {value!r:.80}")
    if value is not None and value.encode("utf-8", "ignore").decode() != value:
        raise FaultError(f"its {name} holds half of a surrogate pair: {value[:80]!r}")
    return value


def _turn(value: Json, position: int) -> int:
    if value is None:
        return position
    if isinstance(value, str) and value.strip().isdecimal():
        value = int(value)
    if not isinstance(value, int) or value < 0:
        raise FaultError(f"its turn is not a number from 0 or 1 on: {value!r:.80}")
    return value


def _scores(row: Row, rules: Rules) -> dict[str, Score | Unscored]:
    """Return the measures in the row, by column name."""
    version = f"{rules.name} {rules.version}"
    found: dict[str, Score | Unscored] = {}
    for name in rules.scores:
        value = number_of(row.values.get(name))
        if value is not None and math.isfinite(value):
            found[name] = Score(value, version=version)
        elif name in row.values:
            found[name] = _no_number(row.values[name], version)
    rewards = {name: rules.columns[name][0] for name in PERSPECTIVES if rules.columns.get(name)}
    for name, column in rewards.items():
        value, words = (
            number_of(value_at(row.values, column)),
            value_of(row, rules, f"{name}_text")[1],
        )
        score = Score(value or 0.0, text=None if words is None else str(words), version=version)
        missing = _no_number(value_at(row.values, column), version)
        found[name] = missing if value is None else rescaled(score, rules.scale)
    return found


def _no_number(value: Json, version: str) -> Unscored:
    return Unscored(f"the data set has no number: {value!r:.80}", version, Cause.NO_ANSWER)


def _provenance(
    row: Row, rules: Rules, used: set[str], texts: Mapping[str, str | None]
) -> Provenance:
    labels = {*rules.columns.get("edit_type", ())}  # kept too: the type may be less specific
    taken = {column_of(column, row.values) for column in used} | {*rules.scores}
    extra = {
        name: value
        for name, value in row.values.items()
        if (name not in taken or name in labels) and _is_plain(value)
    }
    uri = texts["source_uri"] or f"{uri_of(row.file)}#{row.number}"
    return Provenance(
        rules.name, rules.version, parameters=extra, licence=texts["licence"], source_uri=uri
    )


def _is_plain(value: Json) -> bool:
    return (
        isinstance(value, bool)
        or is_number(value)
        or (isinstance(value, str) and not holds_base64(value))
    )
