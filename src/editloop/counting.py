"""Counts of what went into a build and what became of it, by step and reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from editloop.accounting import Tables, id_digest
from editloop.schema import Json

__all__ = ["Counts", "tally"]


def tally(tables: Tables) -> dict[str, Json]:
    """The counts and digests that a commit states of its tables."""
    counts = Counts()
    counts.add_tables(tables)
    return {
        "out": tables.data.num_rows,
        "output_ids": id_digest(tables.data.column("id").to_pylist()),
        **counts.reasons(),
    }


class Counts:
    """Adds up what went in and what became of it."""

    def __init__(self) -> None:
        self._ends: Counter[str] = Counter()
        self._out = 0
        self._classes: Counter[str] = Counter()
        self._dropped: Counter[tuple[str, str]] = Counter()
        self._failed: Counter[tuple[str, str]] = Counter()

    def add(self, order: Sequence[str], tables: Sequence[Tables]) -> None:
        """Add a shard: the ids that went in, and its tables, one set a segment."""
        self._ends.update(_ends(order, tables).values())
        self._out += tables[-1].data.num_rows
        for each in tables:
            self.add_tables(each)

    def add_tables(self, tables: Tables) -> None:
        """Add the drops and failures of one segment."""
        self._dropped.update(_pairs(tables.rejects.select(["step", "reason"]).to_pylist()))
        self._failed.update(_pairs(tables.quarantine.select(["step", "code"]).to_pylist()))
        self._classes.update(tables.quarantine.column("class").to_pylist())

    def merge(self, other: Counts) -> None:
        """Add another's counts."""
        self._ends += other._ends
        self._out += other._out
        self._classes += other._classes
        self._dropped += other._dropped
        self._failed += other._failed

    def reasons(self) -> dict[str, Json]:
        """Drops and failures by step, then by reason or code; failures by class, too."""
        return {
            "by_step": {"dropped": _nested(self._dropped), "quarantined": _nested(self._failed)},
            "by_class": dict(sorted(self._classes.items())),
        }

    def to_json(self) -> dict[str, Json]:
        """All counts: `in` is of inputs, `inputs` says how each ended, the rest is of samples."""
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
    """How each input ended: as output if anything of it did, else quarantined, else dropped."""
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
