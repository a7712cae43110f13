"""Merging of committed shards into the published data set, in the plan's order.

    OUT/data/SPLIT-00000-of-0000N.parquet     the samples
    OUT/data/attempts-SPLIT-*.parquet         every candidate that generators made, if any
    OUT/rejects/dropped.parquet               inputs that steps dropped on purpose, with the reason
    OUT/rejects/quarantined.parquet           inputs that failed, with the cause

The bytes depend only on the shards' content. Nothing is published unless every input is accounted
for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

from editloop.errors import CorruptError, StepError
from editloop.kernel.book import ATTEMPTS, DATA, QUARANTINE, REJECTS, Tables, check_book, id_digest
from editloop.kernel.counts import BuildCounts
from editloop.kernel.shard_plan import IdSet, ShardPlan, ShardRef, read_items, short_hash
from editloop.storage.commits import ShardKey
from editloop.storage.files import Files, explained
from editloop.storage.manifests import Manifest, publish_folder, staging_folder
from editloop.storage.parquet import Gatherer, SplitWriter
from editloop.storage.samples import (
    arrow_schema,
    attempts_of,
    attempts_schema,
    published_files,
    split_names,
)
from editloop.storage.shards import ShardStore

__all__ = ["Chain", "publish_set"]

Chain = Sequence[tuple[ShardStore, ShardKey]]  # a shard's commits, one per segment

_DROPPED = pa.schema(list(REJECTS)[1:])
_QUARANTINED = pa.schema(list(QUARANTINE)[1:])


def publish_set(
    run: Path, plan: ShardPlan, chain: Callable[[ShardRef], Chain], *, made_from: str, files: Files
) -> Manifest:
    """Publish the commits of every shard's `chain`; returns the manifest of the data.

    The manifest's facts are the counts. Raises StepError if an input is unaccounted for or two
    samples share an id, CorruptError if a commit is damaged; then nothing is replaced.
    """
    data = staging_folder(run, "data", files=files)
    rejects = staging_folder(run, "rejects", files=files)
    with explained("publish a data set", run), _Stage(data, rejects, files) as stage:
        splits = {split: stage.write(split, plan, chain) for split in plan.splits}
        stage.finish()
    total = BuildCounts()
    for counts in splits.values():
        total.merge(counts)
    facts = {
        **total.to_json(),
        "splits": {split: counts.to_json() for split, counts in splits.items()},
    }
    publish_folder(run, "rejects", rejects, made_from=made_from, files=files)
    return publish_folder(run, "data", data, made_from=made_from, facts=facts, files=files)


class _Stage:
    """Writes everything to be published into staging folders."""

    def __init__(self, data: Path, rejects: Path, files: Files) -> None:
        self._data = data
        self._files = files
        self._ids = IdSet()
        self._open = ExitStack()
        self._dropped = Gatherer(files, rejects / "dropped.parquet", _DROPPED)
        self._open.callback(self._dropped.close)
        self._failed = Gatherer(files, rejects / "quarantined.parquet", _QUARANTINED)
        self._open.callback(self._failed.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def write(self, split: str, plan: ShardPlan, chain: Callable[[ShardRef], Chain]) -> BuildCounts:
        """Write a split's samples, drops and failures; returns their counts."""
        counts, groups, moved = BuildCounts(), IdSet(), _Moved()
        samples = self._writer(split, arrow_schema())
        attempts: SplitWriter | None = None  # its files are there only if there are attempts
        for shard in plan.of_split(split):
            order = [item.id for item in read_items(plan.path, shard, self._files)]
            tables = _checked(shard, order, chain(shard), moved)
            for name in _groups(chain(shard)):
                groups.add(name)
            counts.add(order, tables)
            self._add(samples, tables)
            for each in tables:
                if each.attempts.num_rows:
                    attempts = attempts or self._writer(attempts_of(split), attempts_schema())
                    attempts.add(each.attempts)
        counts.finish()
        moved.check(split)
        _check_groups(
            groups, (name for shard in plan.of_split(split) for name in _groups(chain(shard)))
        )
        for writer in (samples, attempts):
            if writer is not None:
                writer.finish()
        return counts

    def _writer(self, name: str, schema: pa.Schema) -> SplitWriter:
        writer = SplitWriter(self._files, self._data, name, schema)
        self._open.callback(writer.close)
        return writer

    def _add(self, writer: SplitWriter, tables: Sequence[Tables]) -> None:
        made = tables[-1].data
        _check_sources(made)
        writer.add(made)
        for name in made.column("id").to_pylist():
            self._ids.add(name)
        for each in tables:
            self._dropped.add(each.rejects)
            self._failed.add(each.quarantine)

    def finish(self) -> None:
        """Close the files; raises StepError if two samples share an id."""
        self._dropped.finish()
        self._failed.finish()
        repeated = self._ids.repeats(_published_ids(self._data))
        if repeated:
            raise StepError(
                "two samples have the same id",
                value=repeated[0],
                fix="derive every new id from its input's id",
            )


class _Moved:
    """The samples of a split before and after gathering, which must be the same."""

    def __init__(self) -> None:
        self._sum = 0

    def add(self, before: Sequence[str], after: Sequence[str]) -> None:
        self._sum += sum(map(short_hash, before)) - sum(map(short_hash, after))

    def check(self, split: str) -> None:
        """Raise CorruptError unless the samples are the same; sums of hashes show it."""
        if self._sum:
            raise CorruptError(
                "gathered shards do not have the samples that were there before",
                value=split,
                fix="run the recipe again",
            )


def _checked(shard: ShardRef, order: Sequence[str], chain: Chain, moved: _Moved) -> list[Tables]:
    """Return a shard's tables, one set per segment, checked to account for every input."""
    found = []
    for index, (store, key) in enumerate(chain):
        commit = store.find(key.shard, key.fingerprint, key.generation)
        gathered = None if commit is None else commit.facts.get("inputs")
        if gathered is not None:
            moved.add(order, gathered)
            order = gathered
        if commit is None or commit.facts["input_ids"] != id_digest(order):
            raise CorruptError(
                "a shard's commit does not belong to its inputs",
                value=store.folder / "commits" / f"{key}.json",
                fix="delete it: the shard will be rebuilt",
            )
        last = index == len(chain) - 1
        data = DATA if last else pa.schema([DATA.field("input"), DATA.field("id")])
        tables = Tables(
            store.table(commit, "data", data),
            store.table(commit, "rejects", REJECTS),
            store.table(commit, "quarantine", QUARANTINE),
            store.table(commit, "attempts", ATTEMPTS),
            gathered,
        )
        check_book(order, tables, f"shard {shard.name}")
        found.append(tables)
        order = tables.data.column("id").to_pylist()
    return found


def _groups(chain: Chain) -> Iterator[str]:
    """Yield the groups that a shard's steps have named, each with the place of its segment."""
    for index, (store, key) in enumerate(chain):
        commit = store.find(key.shard, key.fingerprint, key.generation)
        for name in () if commit is None else commit.facts.get("groups", ()):
            yield f"{index}/{name}"


def _check_groups(groups: IdSet, names: Iterator[str]) -> None:
    """Raise StepError if a group has samples in two shards, so that no step saw it whole."""
    repeated = groups.repeats(names)
    if repeated:
        raise StepError(
            "a group of samples is spread over several shards",
            value=repeated[0].partition("/")[2],
            fix="add the step `gather` before the step that names the groups",
        )


def _check_sources(samples: pa.Table) -> None:
    """Raise StepError if a sample has no source picture: only a step's input may lack it."""
    absent = samples.filter(samples.column("source").is_null())
    if absent.num_rows:
        raise StepError(
            "a sample without a source picture cannot be published",
            value=absent.column("id")[0].as_py(),
            fix="add the step that makes the pictures of text-first samples",
        )


def _published_ids(data: Path) -> Iterator[str]:
    for path in (file for split in split_names(data) for file in published_files(data, split)):
        for batch in pq.ParquetFile(path).iter_batches(columns=["id"], use_threads=False):
            yield from batch.column("id").to_pylist()
