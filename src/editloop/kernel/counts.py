"""Counts of inputs and samples by their outcome, for commit records and `results.json`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from editloop.errors import StepError
from editloop.kernel.book import Tables, id_digest
from editloop.schema import Json

__all__ = ["BuildCounts", "tally"]


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
        self._away = _Away()

    def add(self, order: Sequence[str], tables: Sequence[Tables]) -> None:
        """Add a shard: its input ids, and its tables, one set per segment."""
        self._ends.update(self._away.ends(order, tables))
        self._out += tables[-1].data.num_rows
        for each in tables:
            self.add_tables(each)

    def add_tables(self, tables: Tables) -> None:
        """Add the drops and failures of one segment."""
        self._dropped.update(_pairs(tables.rejects.select(["step", "reason"]).to_pylist()))
        self._failed.update(_pairs(tables.quarantine.select(["step", "code"]).to_pylist()))
        self._classes.update(tables.quarantine.column("class").to_pylist())

    def finish(self) -> None:
        """Count the inputs whose samples ended in other shards; StepError if one did not end."""
        self._ends.update(self._away.finish())

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


_RANKS = ("dropped", "quarantined", "output")  # of an input with several ends, the last counts


class _Away:
    """The ends of inputs, some of whose samples were gathered into other shards of the split."""

    def __init__(self) -> None:
        self._open: dict[str, str] = {}  # inputs with samples elsewhere, and their end so far
        self._left: list[tuple[str, str]] = []  # samples that left their shard, and their input
        self._arrived: dict[str, str] = {}  # samples from elsewhere, and their end

    def ends(self, order: Sequence[str], tables: Sequence[Tables]) -> list[str]:
        """Return the ends of a shard's inputs, but of those that have samples elsewhere."""
        own = set(order)
        root = {name: name for name in order}
        ends: dict[str, str] = {}
        away: set[str] = set()
        for each in tables:
            if each.gathered is not None:
                here = set(each.gathered)
                gone = [(name, root[name]) for name in root if name not in here]
                self._left += gone
                away |= {origin for _, origin in gone}
                root = {name: root.get(name, name) for name in each.gathered}
            for name in each.rejects.column("input").to_pylist():
                _end(ends, root[name], "dropped")
            for name in each.quarantine.column("input").to_pylist():
                _end(ends, root[name], "quarantined")
            rows = each.data.select(["id", "input"]).to_pylist()
            root = {row["id"]: root[row["input"]] for row in rows}
        for name in root.values():
            _end(ends, name, "output")
        self._arrived |= {name: end for name, end in ends.items() if name not in own}
        self._open |= {name: ends.get(name, "") for name in away}
        return [ends[name] for name in order if name not in away]

    def finish(self) -> list[str]:
        """Return the ends of all inputs that had samples elsewhere."""
        for name, origin in self._left:
            if name not in self._arrived:
                raise StepError(
                    "a gathered sample has no outcome",
                    value=name,
                    fix="report this as a bug in the accounting",
                )
            _end(self._open, origin, self._arrived[name])
        return list(self._open.values())


def _end(ends: dict[str, str], name: str, end: str) -> None:
    """Set an input's end, unless it has a better one."""
    before = ends.get(name)
    if not before or _RANKS.index(end) > _RANKS.index(before):
        ends[name] = end
