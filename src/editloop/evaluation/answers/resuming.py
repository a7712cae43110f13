"""Edits and numbers of every editor, each computed once and resumed after an interruption.

Edits and numbers are committed separately, by editor and chunk: adding metrics runs no editor
again, and finished pictures are measured without loading their editor.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import Any, TypeAlias

from rich.console import Console
from rich.progress import track

from editloop.evaluation.answers.asking import ITERATIVE, Clock, Decode, EditingSettings, edit_chunk
from editloop.evaluation.answers.cases import Case, Chunk, ReadCases, UnreadCases
from editloop.evaluation.answers.finding import FoundEditor, find_chunk
from editloop.evaluation.answers.measuring import Measuring, measure_chunk
from editloop.kernel import chunks as kernel
from editloop.kernel.chunks import ChunkRunner, Computed
from editloop.kernel.engines.worker import current_worker
from editloop.kernel.resources import CPU, Resources, a_model, resources_of
from editloop.schema import Editor, Json
from editloop.showing.terminal import escape
from editloop.storage.commits import Commit, ShardKey
from editloop.storage.records import fingerprint
from editloop.storage.shards import ShardStore

__all__ = ["Answering", "Answers", "Benchmark", "Round"]

_VERSION = "3"
_TABLE = "data"
_Cases: TypeAlias = ReadCases | UnreadCases


@dataclass(frozen=True, slots=True)
class Round:
    """Some chunks of cases and the settings they are edited with; `name` is unique in a run."""

    name: str
    asking: EditingSettings
    chunks: tuple[Chunk, ...]


@dataclass(frozen=True, slots=True)
class Benchmark:
    """The answers of a round that are reported under one name: one setting's, or its last turns."""

    name: str
    round: Round
    setting: str = ITERATIVE
    last_only: bool = False

    def counts(self, case: Case, setting: str) -> bool:
        """Return whether an answer counts; a first turn is the same in both settings."""
        return (setting == self.setting or case.turn == 1) and (case.last or not self.last_only)

    @property
    def cases(self) -> list[Case]:
        """The cases whose answers count, in order."""
        return [
            case
            for chunk in self.round.chunks
            for case in chunk.cases
            if self.counts(case, self.setting)
        ]


@dataclass(frozen=True, slots=True)
class Answers:
    """The commits of an editor's edits and their numbers, by round and chunk index."""

    editor: str  # its fingerprint
    edits: Mapping[tuple[str, int], Commit]
    numbers: Mapping[tuple[str, int], Commit]


@dataclass(frozen=True, slots=True)
class Answering:
    """Edit and measure the cases that are not committed yet, in the workers of `runner`.

    `read` streams the chunks with their cases; `decode` decodes every picture that an editor or a
    metric sees.
    """

    store: ShardStore
    read: Callable[[], Iterator[tuple[Chunk, _Cases]]]
    decode: Decode
    runner: ChunkRunner

    def edit(
        self,
        editor: Editor | FoundEditor,
        make: Callable[[], Editor | FoundEditor],
        rounds: tuple[Round, ...],
        clock: Clock,
    ) -> dict[tuple[str, int], Commit]:
        """Return the commits of all of an editor's edits, making those that are missing.

        `make` (picklable) creates the editor that a worker uses.
        """

        def work(each: Round, chunk: Chunk) -> tuple[ShardKey, _Editing]:
            made_from = {
                "version": _VERSION,
                "reading": self.decode.__name__,
                "asking": asdict(each.asking),
                "cases": chunk.digest,
                "editor": editor.fingerprint,
            }
            key = _key("edits", each, chunk, made_from)
            return key, _Editing(editor.fingerprint, make, each.asking, self.decode)

        found = isinstance(editor, FoundEditor)
        resources = CPU if found else a_model()
        if resources_of(editor).network:
            resources = resources_of(editor)
        # A model has workers of its own, which end before the next one is loaded.
        with nullcontext(self.runner) if found else self.runner.renewed() as runner:
            return self._committed(
                runner,
                rounds,
                work,
                function=_edit,
                report=clock.add,
                description=f"{editor.name} edits",
                resources=resources,
            )

    def measure(
        self,
        edits: Mapping[tuple[str, int], Commit],
        rounds: tuple[Round, ...],
        measuring: Measuring,
        *,
        make: Callable[[], Measuring],
        clock: Clock,
    ) -> dict[tuple[str, int], Commit]:
        """Return the commits of the numbers of all edits, measuring those that are missing.

        `make` creates the measures that a worker uses; it is picklable, unless they use the
        network.
        """
        parameters = dict(measuring.parameters)
        identity = fingerprint(parameters)

        def work(each: Round, chunk: Chunk) -> tuple[ShardKey, _Measuring]:
            commit = edits[each.name, chunk.index]
            made_from = {
                "version": _VERSION,
                "reading": self.decode.__name__,
                "measures": parameters,
                "cases": chunk.digest,
                "edits": commit.files["data"].sha256,
            }
            key = _key("numbers", each, chunk, made_from)
            return key, _Measuring(identity, make, self.store.folder, commit, self.decode)

        return self._committed(
            self.runner,
            rounds,
            work,
            function=_measure,
            report=clock.add,
            description="measuring",
            resources=measuring.resources,
        )

    def _committed(
        self,
        runner: ChunkRunner,
        rounds: tuple[Round, ...],
        work: Callable[[Round, Chunk], tuple[ShardKey, Any]],
        *,
        function: Callable[[Any, Any, tuple[str, ...]], Computed],
        report: Callable[[Clock], None],
        description: str,
        resources: Resources,
    ) -> dict[tuple[str, int], Commit]:
        found: dict[tuple[str, int], Commit] = {}
        missing: dict[tuple[str, int], list[Round]] = {}
        for each in rounds:
            for chunk in each.chunks:
                key, _ = work(each, chunk)
                commit = self.store.find(key.shard, key.fingerprint)
                if commit is None:
                    missing.setdefault((chunk.kind, chunk.index), []).append(each)
                else:
                    found[each.name, chunk.index] = commit
        if not missing:
            return found

        def chunks() -> Iterator[kernel.Chunk]:
            for chunk, cases in self._tracked(rounds, description):
                for each in missing.get((chunk.kind, chunk.index), ()):
                    key, descriptor = work(each, chunk)
                    about, keys = (each.name, chunk.index), {_TABLE: key}
                    count = len(chunk.cases)
                    yield kernel.Chunk(about, keys, function, descriptor, cases, count)
                del cases  # frees the pictures before the next chunk is read

        for done in runner.run(self.store, chunks(), resources):
            found[done.about] = done.commits[_TABLE]
            if done.report is not None:
                report(done.report)
        return found

    def _tracked(
        self, rounds: tuple[Round, ...], description: str
    ) -> Iterator[tuple[Chunk, _Cases]]:
        """Yield the chunks; show a progress bar with the time left on a terminal."""
        total = len({(chunk.kind, chunk.index) for each in rounds for chunk in each.chunks})
        console = Console(stderr=True)
        steps = track(
            count(),
            description=escape(description),
            total=total,
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        reader = self.read()
        for _ in steps:
            coming = next(reader, None)
            if coming is None:
                return
            yield coming
            del coming

    def rows(self, answers: Answers, benchmark: Benchmark) -> Iterator[tuple[Case, Json]]:
        """Yield an editor's answers to a benchmark: each case with its edit and numbers."""
        return self._counted(benchmark, answers.edits, answers.numbers)

    def edits(
        self, edits: Mapping[tuple[str, int], Commit], benchmark: Benchmark
    ) -> Iterator[tuple[Case, Json]]:
        """Yield an editor's edits in a benchmark, before they are measured."""
        return self._counted(benchmark, edits)

    def _counted(
        self, benchmark: Benchmark, *stored: Mapping[tuple[str, int], Commit]
    ) -> Iterator[tuple[Case, Json]]:
        for chunk in benchmark.round.chunks:
            cases = {(case.id, case.turn): case for case in chunk.cases}
            tables = [self._rows(commits[benchmark.round.name, chunk.index]) for commits in stored]
            for rows in zip(*tables, strict=True):
                case = cases[rows[0]["id"], rows[0]["turn"]]
                if benchmark.counts(case, rows[0]["setting"]):
                    yield case, {key: value for row in rows for key, value in row.items()}

    def _rows(self, commit: Commit) -> Iterator[Json]:
        for batch in self.store.read(commit):
            yield from batch.to_pylist()


@dataclass(frozen=True, slots=True)
class _Editing:
    """The descriptor of a chunk to edit; `editor` is a fingerprint."""

    editor: str
    make: Callable[[], Editor | FoundEditor]
    asking: EditingSettings
    decode: Decode


@dataclass(frozen=True, slots=True)
class _Measuring:
    """The descriptor of a chunk to measure; `measures` is a fingerprint."""

    measures: str
    make: Callable[[], Measuring]
    folder: Path
    edits: Commit
    decode: Decode


def _edit(task: _Editing, cases: _Cases, _: tuple[str, ...]) -> Computed:
    sequences = cases.read()
    editor = current_worker().kept(("editor", task.editor), task.make)
    clock = Clock()
    if isinstance(editor, FoundEditor):
        table = find_chunk(editor, sequences, task.asking)
    else:
        table = edit_chunk(editor, sequences, task.asking, clock, task.decode)
    return Computed({_TABLE: table}, clock)


def _measure(task: _Measuring, cases: _Cases, _: tuple[str, ...]) -> Computed:
    measuring = current_worker().kept(("measures", task.measures), task.make)
    rows = [row for batch in ShardStore(task.folder).read(task.edits) for row in batch.to_pylist()]
    before, began = Counter(measuring.counts), time.perf_counter()
    table = measure_chunk(cases.read(), rows, measuring, task.decode)
    seconds = time.perf_counter() - began
    counts = Counter(measuring.counts)
    counts.subtract(before)
    return Computed(
        {_TABLE: table}, Clock(measured=len(rows), measure_seconds=seconds, encodes=counts)
    )


def _key(name: str, each: Round, chunk: Chunk, made_from: Json) -> ShardKey:
    return ShardKey(f"{name}-{each.name}-{chunk.kind}-{chunk.index:05d}", fingerprint(made_from))
