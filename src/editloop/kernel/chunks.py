"""Chunks: the unit of long work outside of a build, such as cases to measure or pairs to judge.

A chunk has tables by name, each committed under a key of its own. Committed tables are never
computed again; what is missing is computed by a pure function of the chunk's descriptor and inputs,
in the workers of an engine, and committed there. So a killed run goes on where it stopped, the
number of workers changes no byte, and a worker that is killed costs one chunk.
"""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import chain, count, islice
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar
from uuid import uuid4

import pyarrow as pa

from editloop.kernel.contract import DEADLINE
from editloop.kernel.engines.base import Task, make_engine
from editloop.kernel.engines.worker import current_worker
from editloop.kernel.in_order import Work, run_in_order
from editloop.kernel.resources import CPU, Resources
from editloop.storage.commits import Commit, ShardKey
from editloop.storage.files import Files, explained
from editloop.storage.shards import ShardStore

__all__ = ["Chunk", "ChunkRunner", "Computed", "Done"]

_Item = TypeVar("_Item", bound=Sequence[Any])
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Computed:
    """The tables that a chunk's function computed, by name, and a report that is not stored.

    A table that is left out, as it is not final, is not committed.
    """

    tables: Mapping[str, pa.Table]
    report: Any = None


@dataclass(frozen=True, slots=True)
class Chunk:
    """A unit of work: the keys of its tables, and how missing ones are computed.

    `function(descriptor, inputs, names)` returns the tables `names`; without keys there are none,
    and it is always called, for its report. `inputs` may be large; they
    are handed to a worker as a file. `count` is the number of inputs: a worker is considered hung
    after `DEADLINE` seconds for each. `about` identifies the chunk for the caller.
    """

    about: Any
    keys: Mapping[str, ShardKey]
    function: Callable[[Any, Any, tuple[str, ...]], Computed]
    descriptor: Any
    inputs: Any = None
    count: int = 1


@dataclass(frozen=True, slots=True)
class Done:
    """A chunk and its committed tables; `report` is None if nothing was computed."""

    about: Any
    commits: Mapping[str, Commit]
    report: Any = None


class _Inputs(Protocol):
    def load(self) -> Any: ...

    def remove(self) -> None: ...


@dataclass(frozen=True, slots=True)
class _Kept:
    """Inputs that stay in this process."""

    value: Any

    def load(self) -> Any:
        return self.value

    def remove(self) -> None:
        return None


@dataclass(frozen=True, slots=True)
class _Written:
    """Inputs in a working file, which is removed when the chunk is committed."""

    path: Path

    @classmethod
    def of(cls, folder: Path, value: Any) -> _Written:
        path = folder / f"{uuid4().hex}.pickle"
        with explained("write a chunk's inputs", path), path.open("xb") as handle:
            pickle.dump(value, handle, pickle.HIGHEST_PROTOCOL)
        return cls(path)

    def load(self) -> Any:
        with explained("read a chunk's inputs", self.path), self.path.open("rb") as handle:
            return pickle.load(handle)

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class _ChunkTask:
    """The descriptor of a task: the missing tables of a chunk, and where they are committed."""

    folder: Path
    files: Files
    keys: Mapping[str, ShardKey]  # of the missing tables
    function: Callable[[Any, Any, tuple[str, ...]], Computed]
    descriptor: Any
    inputs: _Inputs
    count: int


@dataclass(slots=True)
class _ChunkWork(Work):
    """A chunk on its way, and its tables that were committed before."""

    about: Any = None
    commits: dict[str, Commit] = field(default_factory=dict)


class ChunkRunner:
    """Runs chunks in workers, which live until the context is left.

    `engine` is the SPEC of their engine, and `workers` their number (None: one per core), for each
    process of a launcher; work that needs a GPU has a worker for each one. A single chunk, work for
    which there is one worker, and work that uses the network stay in this process.
    """

    def __init__(self, workers: int | None = 1, engine: str = "processes") -> None:
        self._settings = workers, engine
        self._workers = make_engine(engine, workers)
        self._here = make_engine("in-process", 1)
        self._entered = ExitStack()

    def __enter__(self) -> Self:
        self._entered.enter_context(self._workers)
        self._entered.enter_context(self._here)
        return self

    def __exit__(self, *raised: Any) -> None:
        self._entered.__exit__(*raised)

    def renewed(self) -> ChunkRunner:
        """Return a runner with the same settings and workers of its own."""
        return ChunkRunner(*self._settings)

    def map(
        self, store: ShardStore, function: Callable[[_Item], _Value], items: Iterable[_Item]
    ) -> Iterator[_Value]:
        """Yield `function(item)` of each sequence of inputs, in order; nothing is committed.

        The function and its values are picklable. Errors as of `run`.
        """
        chunks = (Chunk(None, {}, _reported, function, item, len(item)) for item in items)
        return (done.report for done in self.run(store, chunks))

    def run(
        self, store: ShardStore, chunks: Iterable[Chunk], resources: Resources = CPU
    ) -> Iterator[Done]:
        """Compute and commit what is missing; yield each chunk in its order when it is committed.

        The caller holds the lock of the store's run folder. Raises the first error of a chunk, when
        those that were running have ended; StepError if a chunk kills two workers.
        """
        spread = self._at_once(resources) > 1
        folder = store.folder / "inputs" if spread else None
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed
            folder.mkdir(parents=True)
        try:
            works: Iterator[_ChunkWork] = _works(store, chunks, resources, folder)
            if spread:
                first = list(islice(works, 2))
                works, spread = chain(first, works), len(first) > 1
            engine = self._workers if spread else self._here
            for work in run_in_order(engine, works, resources, ahead=spread):
                committed, report = work.value or ({}, None)
                yield Done(work.about, work.commits | committed, report)
        finally:
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)

    def _at_once(self, resources: Resources) -> int:
        """Return how many tasks can run at the same time."""
        if resources.network:  # it runs where the ledger is, and asks several things at once
            return 1
        return self._workers.free(replace(resources, gpu_optional=False))


def _reported(
    function: Callable[[Any], Any], inputs: Sequence[Any], _: tuple[str, ...]
) -> Computed:
    return Computed({}, function(inputs))


def _works(
    store: ShardStore, chunks: Iterable[Chunk], resources: Resources, folder: Path | None
) -> Iterator[_ChunkWork]:
    """Yield the chunks with their commits and the task that computes what is missing."""
    for number, chunk in zip(count(1), chunks):
        found = {
            name: store.find(key.shard, key.fingerprint, key.generation)
            for name, key in chunk.keys.items()
        }
        commits = {name: commit for name, commit in found.items() if commit is not None}
        missing = {name: key for name, key in chunk.keys.items() if name not in commits}
        task = None
        if missing or not chunk.keys:
            made = _ChunkTask(
                folder=store.folder,
                files=store.files,
                keys=missing,
                function=chunk.function,
                descriptor=chunk.descriptor,
                inputs=_Kept(chunk.inputs) if folder is None else _Written.of(folder, chunk.inputs),
                count=chunk.count,
            )
            task = Task(_compute, made, resources, DEADLINE * chunk.count)
        names = ", ".join(key.shard for key in missing.values()) or f"chunk {number}"
        work = _ChunkWork(names, task, about=chunk.about, commits=commits)
        del chunk  # frees its inputs before the next chunk is read
        yield work
        del work


def _compute(task: _ChunkTask) -> tuple[dict[str, Commit], Any]:
    """Compute the missing tables of a chunk and commit them; returns the commits and the report."""
    current_worker().expect(DEADLINE, task.count)
    computed = task.function(task.descriptor, task.inputs.load(), tuple(task.keys))
    store = ShardStore(task.folder, task.files)
    commits = {
        name: store.commit(
            key.shard,
            {"data": computed.tables[name]},
            fingerprint=key.fingerprint,
            generation=key.generation,
        )
        for name, key in task.keys.items()
        if name in computed.tables
    }
    task.inputs.remove()
    return commits, computed.report
