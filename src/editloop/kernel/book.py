"""Accounting for a shard: each input ends as exactly one of output, dropped or quarantined.

A working shard holds three tables. Each row names the `input` it came from, so part of a shard can
be recomputed and merged over the old rows.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from editloop.errors import StepError
from editloop.kernel.steps import Drop, Fail
from editloop.schema import Attempt, EditSample, Json, canonical_json
from editloop.storage.samples import arrow_schema, attempt_row, attempts_schema, to_row

__all__ = [
    "ATTEMPTS",
    "DATA",
    "QUARANTINE",
    "REJECTS",
    "Book",
    "Tables",
    "attempts_table",
    "changed_rows",
    "check_book",
    "data_table",
    "id_digest",
    "storable",
]

_INPUT = pa.field("input", pa.string())

DATA = pa.schema([_INPUT, *arrow_schema()])
REJECTS = pa.schema([_INPUT, *((name, pa.string()) for name in ("id", "step", "reason", "detail"))])
ATTEMPTS = pa.schema([_INPUT, *attempts_schema()])
QUARANTINE = pa.schema(
    [
        _INPUT,
        *((name, pa.string()) for name in ("id", "step", "code", "class", "message")),
        ("attempts", pa.int32()),
        ("reply_key", pa.string()),
    ]
)

_MAX_MESSAGE = 2000  # characters of a message to store


@dataclass(frozen=True, slots=True)
class Tables:
    """A shard's tables, in the order of its inputs, which are listed if it was gathered."""

    data: pa.Table
    rejects: pa.Table
    quarantine: pa.Table
    attempts: pa.Table
    gathered: Sequence[str] | None = None

    def named(self) -> dict[str, pa.Table]:
        """Return the tables to commit by name: always the data, and the others unless empty."""
        rest = {"rejects": self.rejects, "quarantine": self.quarantine, "attempts": self.attempts}
        return {"data": self.data} | {name: table for name, table in rest.items() if table.num_rows}

    def merged(self, newer: Tables, redone: Iterable[str], order: Sequence[str]) -> Tables:
        """Return these tables with the rows of the inputs in `redone` taken from `newer`.

        `order` lists the shard's current inputs; rows of any other input are left out.
        """
        again = set(redone)
        position = {name: index for index, name in enumerate(order)}
        kept = [name for name in order if name not in again]
        return Tables(
            *(
                _ordered(pa.concat_tables([_rows_of(old, kept), new]), position)
                for old, new in (
                    (self.data, newer.data),
                    (self.rejects, newer.rejects),
                    (self.quarantine, newer.quarantine),
                    (self.attempts, newer.attempts),
                )
            )
        )


@dataclass(slots=True)
class Book:
    """A record of the inputs dropped and quarantined while a shard is being processed."""

    dropped: list[dict[str, Json]] = field(default_factory=list)
    quarantined: list[dict[str, Json]] = field(default_factory=list)
    attempts: list[pa.Table] = field(default_factory=list)

    def drop(self, origin: str, name: str, step: str, drop: Drop) -> None:
        detail = None if drop.detail is None else storable(drop.detail)
        row = {"id": name, "step": step, "reason": storable(drop.reason), "detail": detail}
        self.dropped.append({"input": origin, **row})

    def quarantine(self, origin: str, name: str, step: str, fail: Fail, attempts: int = 1) -> None:
        self.quarantined.append(
            {
                "input": origin,
                "id": name,
                "step": step,
                "code": storable(fail.code),
                "class": fail.failure.value,
                "message": storable(fail.message)[:_MAX_MESSAGE],
                "attempts": attempts,
                "reply_key": fail.reply_key,
            }
        )

    def tables(self, data: pa.Table, order: Sequence[str]) -> Tables:
        """Return the finished tables, sorted by `order`, the list of inputs."""
        position = {name: index for index, name in enumerate(order)}
        return Tables(
            _ordered(data, position),
            _ordered(pa.Table.from_pylist(self.dropped, REJECTS), position),
            _ordered(pa.Table.from_pylist(self.quarantined, QUARANTINE), position),
            _ordered(pa.concat_tables([ATTEMPTS.empty_table(), *self.attempts]), position),
        )


def attempts_table(origin: str, attempts: Iterable[Attempt]) -> pa.Table:
    """Return the attempts that were made for an input as a table. Arrow's errors are not caught."""
    rows = [{"input": origin, **attempt_row(attempt)} for attempt in attempts]
    return pa.Table.from_pylist(rows, ATTEMPTS)


def data_table(rows: Iterable[tuple[str, EditSample]]) -> pa.Table:
    """Return the data table of (input, sample) pairs. Arrow's own errors are not caught."""
    return pa.Table.from_pylist(
        [{"input": origin, **to_row(sample)} for origin, sample in rows], DATA
    )


def storable(text: str) -> str:
    """Return `text` with lone surrogates escaped, so that it can be stored as UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def check_book(inputs: Sequence[str], tables: Tables, where: str) -> None:
    """Raise StepError unless each input has an outcome and no id occurs in two rows."""
    parts = (tables.data, tables.rejects, tables.quarantine)
    ends = [name for table in parts for name in table.column("id").to_pylist()]
    twice = [name for name, count in Counter(ends).items() if count > 1]
    origins = {name for table in parts for name in table.column("input").to_pylist()}
    lost = [name for name in inputs if name not in origins]
    unknown = origins - set(inputs)
    for cause, names in (
        ("an id has two outcomes", twice),
        ("an input has no outcome", lost),
        ("an output does not belong to any input", sorted(unknown)),
    ):
        if names:
            raise StepError(
                f"{where}: {cause}", value=names[0], fix="report this as a bug in the accounting"
            )


def id_digest(ids: Iterable[str]) -> str:
    """Return the SHA-256 (hex) of the sorted ids."""
    return hashlib.sha256(canonical_json(sorted(ids)).encode()).hexdigest()


def changed_rows(old: pa.Table, new: pa.Table) -> list[str]:
    """Return the ids of samples that both tables have, and that are not equal in them."""
    before = {name: at for at, name in enumerate(old.column("id").to_pylist())}
    return [
        name
        for at, name in enumerate(new.column("id").to_pylist())
        if name in before and not new.slice(at, 1).equals(old.slice(before[name], 1))
    ]


def _rows_of(table: pa.Table, inputs: Sequence[str]) -> pa.Table:
    wanted = set(inputs)
    return table.filter(
        pa.array([name in wanted for name in table.column("input").to_pylist()], pa.bool_())
    )


def _ordered(table: pa.Table, position: Mapping[str, int]) -> pa.Table:
    """Return the rows sorted by the position of their input; the sort is stable."""
    at = [position[name] for name in table.column("input").to_pylist()]
    order = sorted(range(len(at)), key=at.__getitem__)
    return table if order == list(range(len(at))) else table.take(order)
