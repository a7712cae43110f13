"""Judgements of people and judges: each vote between two editors, and each single rating, is a row.

A CSV of votes has the columns `item, editor_a, editor_b, question, answer, rater`, one of ratings
`item, editor, question, value, rater`. All others are optional: `order` (which of the two was
shown first, or on the left: `ab` or `ba`), `kind` (`person` or `judge`), `study`, `batch`, `time`,
`duration` and `nonce`. Rows with one nonce are one judgement that was sent more than once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from editloop.errors import RecipeError
from editloop.schema import Json
from editloop.storage.csv_rows import csv_columns, read_csv_rows, wrong_row

__all__ = ["ANSWERS", "Judgement", "Rating", "Vote", "questions", "read_judgements"]

Answer = Literal["first", "second", "tie", "both_bad"]
RaterKind = Literal["person", "judge"]

ANSWERS = ("a", "b", "tie", "both_bad")
_ORDERS = {"ab": False, "ba": True, "a": False, "b": True}  # whether editor b was shown first
_KINDS = ("person", "judge")
_SHARED = ("item", "question", "rater")
_VOTE = ("editor_a", "editor_b", "answer")
_RATING = ("editor", "value")
_OPTIONAL = ("kind", "study", "batch", "time", "duration", "nonce")


@dataclass(frozen=True, slots=True)
class Judgement:
    """What all judgements have; texts that were not recorded are empty, `duration` is seconds."""

    item: str
    question: str
    rater: str
    kind: RaterKind = "person"
    study: str = ""
    batch: str = ""
    time: str = ""
    duration: float | None = None
    nonce: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote(Judgement):
    """A choice between two editors, which are named in the order shown if `ordered`."""

    first: str
    second: str
    answer: Answer
    ordered: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Rating(Judgement):
    """One editor's result rated on a scale."""

    editor: str
    value: float


_Row = TypeVar("_Row", bound=Judgement)


def read_judgements(path: Path) -> list[Vote] | list[Rating]:
    """Read a CSV of votes or of ratings; its columns tell which.

    Raises RecipeError, with the line and the fix, for a missing or unknown column, an empty cell,
    an unknown answer or order, an editor compared with itself, and a nonce with two answers.
    """
    columns = csv_columns(path)
    if "value" in columns and "answer" in columns:
        raise RecipeError(
            "a CSV has either votes (answer) or ratings (value)", value=path, fix="write two files"
        )
    if "value" in columns:
        return _read(path, (*_SHARED, *_RATING), (), _rating)
    return _read(path, (*_SHARED, *_VOTE), ("order",), _vote)


def _read(
    path: Path,
    needed: Sequence[str],
    optional: Sequence[str],
    make: Callable[[dict[str, str]], _Row],
) -> list[_Row]:
    rows: dict[object, _Row] = {}
    for line, cells in read_csv_rows(path, needed, (*needed, *optional, *_OPTIONAL)):
        try:
            row = make(_filled(cells, needed))
        except ValueError as error:
            raise wrong_row(path, line, str(error)) from None
        key = row.nonce or line
        if rows.setdefault(key, row) != row:
            raise wrong_row(path, line, f"the nonce {row.nonce!r} has another answer before")
    if not rows:
        raise RecipeError("there are no judgements", value=path, fix="add a row for each answer")
    return list(rows.values())


def _filled(cells: dict[str, str], needed: Sequence[str]) -> dict[str, str]:
    for name in needed:
        if not cells[name]:
            raise ValueError(f"{name} is empty")
    return cells


def _vote(cells: dict[str, str]) -> Vote:
    a, b, answer = cells["editor_a"], cells["editor_b"], cells["answer"].lower()
    if a == b:
        raise ValueError(f"editor {a!r} is compared with itself")
    if answer not in ANSWERS:
        raise ValueError(f"unknown answer {cells['answer']!r}; one of {', '.join(ANSWERS)}")
    order = cells.get("order", "").lower()
    if order and order not in _ORDERS:
        raise ValueError(f"unknown order {order!r}; ab if editor_a was shown first, else ba")
    swapped = _ORDERS.get(order, False)
    chosen: dict[str, Answer] = {"a": "second" if swapped else "first"}
    chosen["b"] = "first" if swapped else "second"
    first, second = (b, a) if swapped else (a, b)
    return Vote(
        **_shared(cells),
        first=first,
        second=second,
        answer=chosen.get(answer, "tie" if answer == "tie" else "both_bad"),
        ordered=bool(order),
    )


def _rating(cells: dict[str, str]) -> Rating:
    return Rating(**_shared(cells), editor=cells["editor"], value=_number(cells["value"], "value"))


def _shared(cells: dict[str, str]) -> dict[str, Json]:
    kind = cells.get("kind") or "person"
    if kind not in _KINDS:
        raise ValueError(f"unknown kind {kind!r}; one of {', '.join(_KINDS)}")
    length = cells.get("duration", "")
    texts = {name: cells.get(name, "") for name in ("study", "batch", "time", "nonce")}
    return {
        **{name: cells[name] for name in _SHARED},
        **texts,
        "kind": kind,
        "duration": _number(length, "duration") if length else None,
    }


def _number(text: str, name: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{name} {text!r} is not a number")
    return value


def questions(rows: Sequence[_Row]) -> Iterator[tuple[str, list[_Row]]]:
    """Yield each question with its judgements, in the order of their first appearance."""
    for name in dict.fromkeys(row.question for row in rows):
        yield name, [row for row in rows if row.question == name]
