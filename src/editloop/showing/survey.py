"""A survey of a data set for a page: counts, rewards, a few samples.

Splits are streamed without their pictures, and pictures are read only from the row groups that
hold a chosen sample.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from editloop.runtime.seeding import derive_seed
from editloop.schema import PERSPECTIVES, EditSample, Json
from editloop.storage.files import explained
from editloop.storage.parquet import open_parquet, read_rows
from editloop.storage.samples import from_row, published_files, split_names

__all__ = ["Survey", "choose", "find_samples", "splits", "survey"]

_OTHER = "edit"  # samples without an edit type


@dataclass(slots=True)
class Survey:
    """A summary of a split; `scores` counts each perspective's rewards by value."""

    rows: int = 0
    types: Counter[str] = field(default_factory=Counter)
    scores: dict[str, Counter[float]] = field(default_factory=lambda: defaultdict(Counter))
    chosen: list[str] = field(default_factory=list)


def splits(run: Path) -> list[str]:
    """Return the names of the published splits, `train` first."""
    return sorted(split_names(run / "data"), key=lambda name: (name != "train", name))


def survey(data: Path, split: str, samples: int) -> Survey:
    """Count a split's types and rewards, and choose `samples` of it, evenly over the types.

    The choice is random, seeded by the samples' ids only; it does not depend on their content.
    """
    found = Survey()
    drawn: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for row in _light_rows(data, split):
        kind = row["edit_type"] or _OTHER
        found.rows += 1
        found.types[kind] += 1
        for score in row["scores"] or ():
            if score["name"] in PERSPECTIVES and score["value"] is not None:
                found.scores[score["name"]][score["value"]] += 1
        entry = (-derive_seed("report", row["id"]), row["id"])
        if len(drawn[kind]) < samples:
            heapq.heappush(drawn[kind], entry)
        elif samples:
            heapq.heappushpop(drawn[kind], entry)
    found.chosen = _round_robin(
        {kind: sorted(entries, reverse=True) for kind, entries in drawn.items()}, samples
    )
    return found


def choose(names: Mapping[str, str | None], count: int) -> list[str]:
    """Return a random choice of `count` names, evenly over their types, independent of results."""
    drawn: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for name, kind in names.items():
        drawn[kind or _OTHER].append((-derive_seed("report", name), name))
    return _round_robin(
        {kind: sorted(entries, reverse=True) for kind, entries in drawn.items()}, count
    )


def _round_robin(drawn: Mapping[str, Sequence[tuple[int, str]]], count: int) -> list[str]:
    ranked = [
        (rank, kind, name)
        for kind, entries in drawn.items()
        for rank, (_, name) in enumerate(entries[:count])
    ]
    return [name for _, _, name in sorted(ranked)[:count]]


def find_samples(data: Path, split: str, ids: Collection[str]) -> dict[str, EditSample]:
    """Return the samples with these ids, by id; only row groups that hold one are read whole."""
    wanted, found = set(ids), dict[str, EditSample]()
    for path in published_files(data, split) if wanted else ():
        with explained("read a data set", path), path.open("rb") as handle:
            file = open_parquet(handle)
            for group in range(file.num_row_groups):
                names = file.read_row_group(group, columns=["id"], use_threads=False)["id"]
                rows = [at for at, name in enumerate(names.to_pylist()) if name in wanted]
                if rows:
                    table = file.read_row_group(group, use_threads=False).take(rows)
                    found |= {row["id"]: from_row(row) for row in table.to_pylist()}
    return found


def _light_rows(data: Path, split: str) -> Iterator[Json]:
    for path in published_files(data, split):
        yield from read_rows(path, ["id", "edit_type", "scores"], what="a data set")
