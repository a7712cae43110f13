"""Read a benchmark's table of cases for a report: its metrics, its extremes, chosen rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from editloop.evaluation.answers.case_table import (
    StoredPicture,
    case_files,
    picture_in,
    read_case_rows,
)
from editloop.schema import Json
from editloop.storage.files import explained

__all__ = ["Answered", "CaseTable", "Extremes", "answers", "case_tables", "extremes"]

_TEXT = "_text"


@dataclass(frozen=True, slots=True)
class CaseTable:
    """One benchmark in a table of cases; `metrics` are in the protocol's order.

    `texts` are the columns with a judge's explanations. `builds` is true if a turn's edit starts
    from the editor's own picture, `sessions` if all turns of a session are cases.
    """

    path: Path
    benchmark: str
    metrics: tuple[str, ...]
    texts: tuple[str, ...]
    builds: bool
    sessions: bool

    @property
    def part(self) -> str:
        """The name of the recipe's entry that made the benchmark."""
        return self.path.parent.name

    @property
    def drifts(self) -> bool:
        """True if errors of one turn carry over to the next turn's case."""
        return self.builds and self.sessions


@dataclass(frozen=True, slots=True)
class Extremes:
    """The cases (or sessions) in which an editor was worst and best, the most extreme first.

    `ranked` counts the cases (or sessions) with a number, `unranked` those without.
    """

    worst: Sequence[str]
    best: Sequence[str]
    ranked: int
    unranked: int


@dataclass(frozen=True, slots=True)
class Answered:
    """One editor's answer to one case: its picture, or why it has none, and its numbers."""

    editor: str
    id: str
    session: str | None
    turn: int
    kind: str | None
    instruction: str
    digest: str | None
    picture: StoredPicture | None
    unedited: str | None
    numbers: Mapping[str, float]
    words: Mapping[str, str]  # the judge's explanations, by perspective


def case_tables(run: Path, benchmarks: Collection[str]) -> dict[str, CaseTable]:
    """Return the tables of these benchmarks in a run folder, by name."""
    found: dict[str, CaseTable] = {}
    for path in case_files(run):
        columns = _columns(path)
        shapes: dict[str, tuple[bool, bool]] = {}
        last: dict[str, tuple[str, str | None]] = {}
        for row in read_case_rows(path, ["benchmark", "editor", "session", "setting"]):
            name, now = row["benchmark"], (row["editor"], row["session"])
            if name not in benchmarks:
                continue
            builds, sessions = shapes.get(name, (False, False))
            again = row["session"] is not None and last.get(name) == now
            shapes[name] = (builds or row["setting"] == "iterative", sessions or again)
            last[name] = now
        found |= {name: CaseTable(path, name, *columns, *shape) for name, shape in shapes.items()}
    return found


def _columns(path: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names of a file's metric columns, and of its text columns."""
    with explained("read a benchmark's cases", path):
        schema = pq.read_schema(path)
    metrics = tuple(each.name for each in schema if pa.types.is_float64(each.type))
    texts = tuple(each.name for each in schema if each.name.endswith(_TEXT))
    return metrics, texts


def extremes(table: CaseTable, editor: str, metric: str, count: int, *, less: bool) -> Extremes:
    """Return the `count` worst and best cases of an editor by a metric; no case is in both.

    Sessions whose turns are all cases are ranked by their turns' mean. `less`: a lower value is
    better.
    """
    values: dict[str, list[float]] = defaultdict(list)
    for row in read_case_rows(table.path, ["benchmark", "editor", "id", "session", metric]):
        if row["benchmark"] == table.benchmark and row["editor"] == editor:
            name = row["session"] if table.drifts and row["session"] else row["id"]
            values[name].append(np.nan if row[metric] is None else row[metric])
    means = {name: float(np.mean(own)) for name, own in values.items()}
    known = [name for name, mean in means.items() if not np.isnan(mean)]
    ranked = sorted(known, key=lambda name: (means[name] if less else -means[name], name))
    half = min(count, len(ranked) // 2)
    return Extremes(
        worst=ranked[::-1][: min(count, len(ranked) - half)],
        best=ranked[:half],
        ranked=len(ranked),
        unranked=len(means) - len(ranked),
    )


def answers(table: CaseTable, names: Collection[str]) -> dict[str, list[Answered]]:
    """Return the rows of these cases or sessions, by name; sorted by turn, then editor order."""
    facts = ["editor", "id", "session", "turn", "edit_type", "group", "instruction", "digest"]
    columns = ["benchmark", *facts, "picture", "sha256", "unedited", *table.metrics, *table.texts]
    found: dict[str, list[Answered]] = defaultdict(list)
    for row in read_case_rows(table.path, columns):
        name = row["session"] if table.drifts and row["session"] else row["id"]
        if row["benchmark"] == table.benchmark and name in names:
            found[name].append(_answered(row, table))
    return {name: sorted(own, key=lambda each: each.turn) for name, own in found.items()}


def _answered(row: Json, table: CaseTable) -> Answered:
    return Answered(
        editor=row["editor"],
        id=row["id"],
        session=row["session"],
        turn=row["turn"],
        kind=row["group"] or row["edit_type"],
        instruction=row["instruction"],
        digest=row.get("digest"),
        picture=picture_in(table.path, row),
        unedited=row["unedited"],
        numbers={name: row[name] for name in table.metrics if row[name] is not None},
        words={name.removesuffix(_TEXT): row[name] for name in table.texts if row[name]},
    )
