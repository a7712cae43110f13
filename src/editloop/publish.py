"""From committed shards to the published set: checked, streamed in the plan's order, put in place.

    OUT/data/SPLIT-00000-of-0000N.parquet     the samples
    OUT/rejects/dropped.parquet               what steps left out on purpose, with the reason
    OUT/rejects/quarantined.parquet           what failed, with the cause

The bytes depend on the shards' content alone. Nothing is published that does not account for every
input.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from editloop.accounting import DATA, QUARANTINE, REJECTS, Tables, check_book, id_digest
from editloop.errors import CorruptError, StepError
from editloop.files import Files, explained
from editloop.parquet import GROUP_BYTES, GROUP_ROWS, TableWriter, content_bytes, pieces
from editloop.plan import IdSet, Plan, ShardRef, read_items
from editloop.publication import Manifest, publish_folder, staging_folder
from editloop.schema import Json, arrow_schema
from editloop.shards import ShardKey, ShardStore

__all__ = ["FILE_BYTES", "Chain", "publish_set"]

FILE_BYTES = 430_000_000  # a file is closed beyond this: with one more row group it has < 500 MB

Chain = Sequence[tuple[ShardStore, ShardKey]]  # a shard's commits, one a segment

_DROPPED = pa.schema(list(REJECTS)[1:])
_QUARANTINED = pa.schema(list(QUARANTINE)[1:])


def publish_set(
    run: Path, plan: Plan, chains: Mapping[str, Chain], *, made_from: str, files: Files
) -> Manifest:
    """Publish what the commits in `chains` (by shard name) hold; returns the data's manifest.

    Its facts are the counts. Raises StepError where an input is unaccounted for or two samples
    have one id, CorruptError where a commit is damaged; then nothing is replaced.
    """
    data = staging_folder(run, "data", files=files)
    rejects = staging_folder(run, "rejects", files=files)
    with explained("publish a data set", run):
        counts = _stage(plan, chains, data, rejects, files)
    publish_folder(run, "rejects", rejects, made_from=made_from, files=files)
    return publish_folder(run, "data", data, made_from=made_from, facts=counts, files=files)


def _stage(
    plan: Plan, chains: Mapping[str, Chain], data: Path, rejects: Path, files: Files
) -> dict[str, Json]:
    dropped = _Rows(TableWriter(files, rejects / "dropped.parquet", _DROPPED))
    failed = _Rows(TableWriter(files, rejects / "quarantined.parquet", _QUARANTINED))
    ids = IdSet()
    total = _Counts()
    splits: dict[str, Json] = {}
    for split in plan.splits:
        counts = _Counts()
        writer = _SplitWriter(files, data, split)
        for shard in plan.of_split(split):
            order = [item.id for item in read_items(plan.path, shard, files)]
            tables = _checked(shard, order, chains[shard.name])
            writer.add(tables[-1].data)
            for name in tables[-1].data.column("id").to_pylist():
                ids.add(name)
            for book in tables:
                dropped.add(book.rejects)
                failed.add(book.quarantine)
            counts.add(order, tables)
        writer.finish()
        splits[split] = counts.to_json()
        total.merge(counts)
    dropped.finish()
    failed.finish()
    repeated = ids.repeats(_published_ids(data))
    if repeated:
        raise StepError(
            "two samples have one id", value=repeated[0], fix="derive ids from the input's id"
        )
    return {**total.to_json(), "splits": splits}


def _checked(shard: ShardRef, order: Sequence[str], chain: Chain) -> list[Tables]:
    """A shard's tables, one set a segment, once they account for every id that went in."""
    found = []
    for index, (store, key) in enumerate(chain):
        commit = store.find(key.shard, key.fingerprint, key.generation)
        if commit is None or commit.facts["input_ids"] != id_digest(order):
            raise CorruptError(
                "a shard's commit does not belong to its inputs",
                value=store.folder / "commits" / f"{key}.json",
                fix="remove it: the shard is made again",
            )
        last = index == len(chain) - 1
        data = DATA if last else pa.schema([DATA.field("input"), DATA.field("id")])
        tables = Tables(
            store.table(commit, "data", data),
            store.table(commit, "rejects", REJECTS),
            store.table(commit, "quarantine", QUARANTINE),
        )
        check_book(order, tables, f"shard {shard.name}")
        found.append(tables)
        order = tables.data.column("id").to_pylist()
    return found


def _published_ids(data: Path) -> Iterator[str]:
    for path in sorted(data.glob("*.parquet")):
        for batch in pq.ParquetFile(path).iter_batches(columns=["id"], use_threads=False):
            yield from batch.column("id").to_pylist()


class _Counts:
    """What went in and what became of it, added up over shards."""

    def __init__(self) -> None:
        self._ends = {"output": 0, "dropped": 0, "quarantined": 0}
        self._out = 0
        self._by_step: dict[str, dict[tuple[str, str], int]] = {"dropped": {}, "quarantined": {}}

    def add(self, order: Sequence[str], tables: Sequence[Tables]) -> None:
        self._out += tables[-1].data.num_rows
        for book in tables:
            self._count("dropped", book.rejects, "reason")
            self._count("quarantined", book.quarantine, "code")
        for end in _ends(order, tables).values():
            self._ends[end] += 1

    def _count(self, what: str, table: pa.Table, column: str) -> None:
        for row in table.select(["step", column]).to_pylist():
            self._plus(what, (row["step"], row[column]), 1)

    def _plus(self, what: str, key: tuple[str, str], count: int) -> None:
        self._by_step[what][key] = self._by_step[what].get(key, 0) + count

    def merge(self, other: _Counts) -> None:
        self._out += other._out
        for end, count in other._ends.items():
            self._ends[end] += count
        for what, counts in other._by_step.items():
            for key, count in counts.items():
                self._plus(what, key, count)

    def to_json(self) -> dict[str, Json]:
        """`in` counts inputs, `inputs` says how each ended; the other numbers count samples."""
        by_step: dict[str, Json] = {}
        for what, counts in self._by_step.items():
            steps: dict[str, dict[str, int]] = {}
            for (step, reason), count in sorted(counts.items()):
                steps.setdefault(step, {})[reason] = count
            by_step[what] = steps
        return {
            "in": sum(self._ends.values()),
            "out": self._out,
            **{what: sum(counts.values()) for what, counts in self._by_step.items()},
            "inputs": dict(self._ends),
            "by_step": by_step,
        }


def _ends(order: Sequence[str], tables: Sequence[Tables]) -> dict[str, str]:
    """How each input ended: an output, or else the worst that became of what it turned into."""
    root = {name: name for name in order}
    ends: dict[str, str] = {}
    for book in tables:
        for row in book.rejects.select(["input"]).to_pylist():
            ends.setdefault(root[row["input"]], "dropped")
        for row in book.quarantine.select(["input"]).to_pylist():
            ends[root[row["input"]]] = "quarantined"
        root = {row["id"]: root[row["input"]] for row in book.data.select(["id", "input"]).to_pylist()}
    return ends | dict.fromkeys(root.values(), "output")


class _Rows:
    """A published table that gathers small parts into whole row groups."""

    def __init__(self, writer: TableWriter) -> None:
        self._writer = writer
        self._parts: list[pa.Table] = []
        self._rows = 0
        self._bytes = 0

    @property
    def size(self) -> int:
        return self._writer.size

    def add(self, table: pa.Table) -> None:
        for piece in pieces(table.select(self._writer.schema.names)):
            rows, size = piece.num_rows, content_bytes(piece)
            if self._rows + rows > GROUP_ROWS or self._bytes + size > GROUP_BYTES:
                self._flush()
            self._parts.append(piece)
            self._rows += rows
            self._bytes += size

    def _flush(self) -> None:
        if self._parts:
            self._writer.write(pa.concat_tables(self._parts).cast(self._writer.schema))
        self._parts, self._rows, self._bytes = [], 0, 0

    def finish(self) -> None:
        self._flush()
        self._writer.finish()


class _SplitWriter:
    """A split's files, each closed once it is large; they are named when their number is known."""

    def __init__(self, files: Files, folder: Path, split: str) -> None:
        self._files = files
        self._folder = folder
        self._split = split
        self._paths: list[Path] = []
        self._rows = self._open()

    def _open(self) -> _Rows:
        path = self._folder / f"{self._split}-{len(self._paths):05d}.parquet"
        self._paths.append(path)
        return _Rows(TableWriter(self._files, path, arrow_schema()))

    def add(self, table: pa.Table) -> None:
        if self._rows.size > FILE_BYTES:
            self._rows.finish()
            self._rows = self._open()
        self._rows.add(table)

    def finish(self) -> None:
        self._rows.finish()
        for path in self._paths:
            self._files.rename(path, path.with_name(f"{path.stem}-of-{len(self._paths):05d}.parquet"))
