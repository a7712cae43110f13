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
from editloop.kernel.steps import Fail
from editloop.schema import Attempt, EditSample, Json, canonical_json
from editloop.storage.samples import arrow_schema, attempt_row, attempts_schema, to_row

__all__ = [
    "ATTEMPTS",
    "DATA",
    "QUARANTINE",
    "REJECTS",
    "Book",
    "BuildCounts",
    "Tables",
    "attempts_table",
    "changed_rows",
    "check_book",
    "data_table",
    "id_digest",
    "storable",
    "tally",
]

_INPUT = pa.field("input", pa.string())

DATA = pa.schema([_INPUT, *arrow_schema()])
REJECTS = pa.schema([_INPUT, *((name, pa.string()) for name in ("id", "step", "reason"))])
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
    """A shard's three tables, in the order of its inputs."""

    data: pa.Table
    rejects: pa.Table
    quarantine: pa.Table
    attempts: pa.Table

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

    def drop(self, origin: str, name: str, step: str, reason: str) -> None:
        row = {"input": origin, "id": name, "step": step, "reason": storable(reason)}
        self.dropped.append(row)

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


def tally(tables: Tables) -> dict[str, Json]:
    """Return the counts and digests of the tables that a commit record stores."""
    counts = BuildCounts()
    counts.add_tables(tables)
    return {
        "out": tables.data.num_rows,
        "output_ids": id_digest(tables.data.column("id").to_pylist()),
        **counts.reasons(),
    }


class BuildCounts:
    """Counters of the inputs and their outcomes."""

    def __init__(self) -> None:
        self._ends: Counter[str] = Counter()
        self._out = 0
        self._classes: Counter[str] = Counter()
        self._dropped: Counter[tuple[str, str]] = Counter()
        self._failed: Counter[tuple[str, str]] = Counter()

    def add(self, order: Sequence[str], tables: Sequence[Tables]) -> None:
        """Add a shard: its input ids, and its tables, one set per segment."""
        self._ends.update(_ends(order, tables).values())
        self._out += tables[-1].data.num_rows
        for each in tables:
            self.add_tables(each)

    def add_tables(self, tables: Tables) -> None:
        """Add the drops and failures of one segment."""
        self._dropped.update(_pairs(tables.rejects.select(["step", "reason"]).to_pylist()))
        self._failed.update(_pairs(tables.quarantine.select(["step", "code"]).to_pylist()))
        self._classes.update(tables.quarantine.column("class").to_pylist())

    def merge(self, other: BuildCounts) -> None:
        """Add the counts of `other`."""
        self._ends += other._ends
        self._out += other._out
        self._classes += other._classes
        self._dropped += other._dropped
        self._failed += other._failed

    def reasons(self) -> dict[str, Json]:
        """Return drops by step and reason, failures by step and code, and failures by class."""
        return {
            "by_step": {"dropped": _nested(self._dropped), "quarantined": _nested(self._failed)},
            "by_class": dict(sorted(self._classes.items())),
        }

    def to_json(self) -> dict[str, Json]:
        """Return all counts: `in` and `inputs` (by outcome) count inputs, the rest samples."""
        return {
            "in": self._ends.total(),
            "out": self._out,
            "dropped": self._dropped.total(),
            "quarantined": self._failed.total(),
            "inputs": {end: self._ends[end] for end in ("output", "dropped", "quarantined")},
            **self.reasons(),
        }


def _pairs(rows: Sequence[Json]) -> list[tuple[str, str]]:
    return [tuple(row.values()) for row in rows]


def _nested(counts: Counter[tuple[str, str]]) -> dict[str, dict[str, int]]:
    nested: dict[str, dict[str, int]] = {}
    for (step, reason), count in sorted(counts.items()):
        nested.setdefault(step, {})[reason] = count
    return nested


def _ends(order: Sequence[str], tables: Sequence[Tables]) -> dict[str, str]:
    """Return each input's outcome: output if any sample is, else quarantined, else dropped."""
    root = {name: name for name in order}
    ends: dict[str, str] = {}
    for each in tables:
        for name in each.rejects.column("input").to_pylist():
            ends.setdefault(root[name], "dropped")
        for name in each.quarantine.column("input").to_pylist():
            ends[root[name]] = "quarantined"
        rows = each.data.select(["id", "input"]).to_pylist()
        root = {row["id"]: root[row["input"]] for row in rows}
    return ends | dict.fromkeys(root.values(), "output")
