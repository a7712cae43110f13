"""Edits and numbers of every editor, each computed once and resumed after an interruption.

Edits and numbers are committed separately, by editor and chunk: adding metrics runs no editor
again, and finished pictures are measured without loading their editor.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import count

import pyarrow as pa
from rich.console import Console
from rich.progress import track

from editloop.evaluation.answers.asking import ITERATIVE, Clock, Decode, EditingSettings, edit_chunk
from editloop.evaluation.answers.cases import Case, Chunk, Sequences
from editloop.evaluation.answers.finding import FoundEditor, find_chunk
from editloop.evaluation.answers.measuring import Measuring, measure_chunk
from editloop.schema import Editor, Json
from editloop.showing.terminal import escape
from editloop.storage.commits import Commit
from editloop.storage.records import fingerprint
from editloop.storage.shards import ShardStore

__all__ = ["Answering", "Answers", "Benchmark", "Round"]

_VERSION = "3"


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
    """Edit and measure the cases that are not committed yet.

    `read` streams the chunks with their pictures; `decode` decodes every picture that an editor or
    a metric sees.
    """

    store: ShardStore
    read: Callable[[], Iterator[tuple[Chunk, Sequences]]]
    decode: Decode

    def edit(
        self, editor: Editor | FoundEditor, rounds: tuple[Round, ...], clock: Clock
    ) -> dict[tuple[str, int], Commit]:
        """Return the commits of all of an editor's edits, making those that are missing."""

        def key(each: Round, chunk: Chunk) -> tuple[str, str]:
            made_from = {
                "version": _VERSION,
                "reading": self.decode.__name__,
                "asking": asdict(each.asking),
                "cases": chunk.digest,
                "editor": editor.fingerprint,
            }
            return f"edits-{each.name}-{chunk.kind}-{chunk.index:05d}", fingerprint(made_from)

        def make(each: Round, _chunk: Chunk, sequences: Sequences) -> pa.Table:
            if isinstance(editor, FoundEditor):
                return find_chunk(editor, sequences, each.asking)
            return edit_chunk(editor, sequences, each.asking, clock, self.decode)

        return self._committed(rounds, key, make, f"{editor.name} edits")

    def measure(
        self,
        edits: Mapping[tuple[str, int], Commit],
        rounds: tuple[Round, ...],
        measuring: Measuring,
        clock: Clock,
    ) -> dict[tuple[str, int], Commit]:
        """Return the commits of the numbers of all edits, measuring those that are missing."""

        def key(each: Round, chunk: Chunk) -> tuple[str, str]:
            made_from = {
                "version": _VERSION,
                "reading": self.decode.__name__,
                "measures": dict(measuring.parameters),
                "cases": chunk.digest,
                "edits": edits[each.name, chunk.index].files["data"].sha256,
            }
            return f"numbers-{each.name}-{chunk.kind}-{chunk.index:05d}", fingerprint(made_from)

        def make(each: Round, chunk: Chunk, sequences: Sequences) -> pa.Table:
            rows = list(self._rows(edits[each.name, chunk.index]))
            began = time.perf_counter()
            table = measure_chunk(sequences, rows, measuring, self.decode)
            clock.measured += len(rows)
            clock.measure_seconds += time.perf_counter() - began
            return table

        return self._committed(rounds, key, make, "measuring")

    def _committed(
        self,
        rounds: tuple[Round, ...],
        key: Callable[[Round, Chunk], tuple[str, str]],
        make: Callable[[Round, Chunk, Sequences], pa.Table],
        description: str,
    ) -> dict[tuple[str, int], Commit]:
        found: dict[tuple[str, int], Commit] = {}
        missing: dict[tuple[str, int], list[Round]] = {}
        for each in rounds:
            for chunk in each.chunks:
                commit = self.store.find(*key(each, chunk))
                if commit is None:
                    missing.setdefault((chunk.kind, chunk.index), []).append(each)
                else:
                    found[each.name, chunk.index] = commit
        if not missing:
            return found
        for chunk, sequences in self._tracked(rounds, description):
            for each in missing.get((chunk.kind, chunk.index), ()):
                shard, made_from = key(each, chunk)
                table = make(each, chunk, sequences)
                commit = self.store.commit(shard, {"data": table}, fingerprint=made_from)
                found[each.name, chunk.index] = commit
            del sequences  # frees the pictures before the next chunk is read
        return found

    def _tracked(
        self, rounds: tuple[Round, ...], description: str
    ) -> Iterator[tuple[Chunk, Sequences]]:
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
