"""Every editor's answers and their numbers, each paid for once.

Edits and numbers are committed apart, by editor and chunk: other metrics ask no editor again, and
finished pictures are measured without the editor that made them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import count

import pyarrow as pa
from rich.console import Console
from rich.progress import track

from editloop.evaluation.answers.asking import (
    ITERATIVE,
    Clock,
    Decode,
    EditingSettings,
    FoundEditor,
    edit_chunk,
    find_chunk,
)
from editloop.evaluation.answers.cases import Case, Chunk, Sequences
from editloop.evaluation.answers.measuring import Measuring, measure_chunk
from editloop.schema import Editor, Json
from editloop.storage.commits import Commit
from editloop.storage.records import fingerprint
from editloop.storage.shards import ShardStore

__all__ = ["Answering", "Answers", "Benchmark", "Round"]

_VERSION = "2"


@dataclass(frozen=True, slots=True)
class Round:
    """One way of asking the cases of some chunks; `name` is unique in its evaluation."""

    name: str
    asking: EditingSettings
    chunks: tuple[Chunk, ...]


@dataclass(frozen=True, slots=True)
class Benchmark:
    """The answers of a round that count under one name: those of one setting, or its last turns."""

    name: str
    round: Round
    setting: str = ITERATIVE
    last_only: bool = False

    def counts(self, case: Case, setting: str) -> bool:
        """Whether an answer counts; a first turn is the same in both settings."""
        return (setting == self.setting or case.turn == 1) and (case.last or not self.last_only)

    @property
    def cases(self) -> list[Case]:
        """The cases whose answer counts, in order."""
        return [
            case
            for chunk in self.round.chunks
            for case in chunk.cases
            if self.counts(case, self.setting)
        ]


@dataclass(frozen=True, slots=True)
class Answers:
    """Where an editor's edits and their numbers are, by round and chunk index."""

    editor: str  # its fingerprint
    edits: Mapping[tuple[str, int], Commit]
    numbers: Mapping[tuple[str, int], Commit]


@dataclass(frozen=True, slots=True)
class Answering:
    """Asks and measures what is not committed yet; `read` streams the chunks with their pictures.

    `decode` makes pixels of every picture that an editor or a metric sees.
    """

    store: ShardStore
    read: Callable[[], Iterator[tuple[Chunk, Sequences]]]
    decode: Decode

    def edit(
        self, editor: Editor | FoundEditor, rounds: tuple[Round, ...], clock: Clock
    ) -> dict[tuple[str, int], Commit]:
        """All of an editor's edits, committed; what is there already is not asked again."""

        def key(each: Round, chunk: Chunk) -> tuple[str, str]:
            made_from = {
                "version": _VERSION,
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
        """The numbers of all edits, committed; what is there already is not measured again."""

        def key(each: Round, chunk: Chunk) -> tuple[str, str]:
            made_from = {
                "version": _VERSION,
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
        told: str,
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
        for chunk, sequences in self._tracked(rounds, told):
            for each in missing.get((chunk.kind, chunk.index), ()):
                shard, made_from = key(each, chunk)
                table = make(each, chunk, sequences)
                commit = self.store.commit(shard, {"data": table}, fingerprint=made_from)
                found[each.name, chunk.index] = commit
            del sequences  # before those of the next chunk are read
        return found

    def _tracked(self, rounds: tuple[Round, ...], told: str) -> Iterator[tuple[Chunk, Sequences]]:
        """The chunks, with a progress bar and the time left where a person is looking."""
        total = len({(chunk.kind, chunk.index) for each in rounds for chunk in each.chunks})
        console = Console(stderr=True)
        steps = track(
            count(),
            description=told,
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
        """An editor's answers to a benchmark: each case with its edit and numbers, in order."""
        return self._counted(benchmark, answers.edits, answers.numbers)

    def edits(
        self, edits: Mapping[tuple[str, int], Commit], benchmark: Benchmark
    ) -> Iterator[tuple[Case, Json]]:
        """An editor's edits in a benchmark, before they are measured."""
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
