"""Every editor's answers, paid for once: committed by editor and chunk, found again, read back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import asdict, dataclass

from rich.console import Console
from rich.progress import track

from editloop.evaluation.cases import Case, Chunk, Sequences
from editloop.evaluation.measuring import Measures
from editloop.evaluation.running import Asking, Clock, run_chunk
from editloop.schema import Editor, Json
from editloop.store import Commit, ShardStore, fingerprint

__all__ = ["Answering", "Answers", "Benchmark"]

_VERSION = "1"


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One way of asking the cases of one kind."""

    name: str
    kind: str
    with_mask: bool
    chunks: tuple[Chunk, ...]

    @property
    def cases(self) -> list[Case]:
        """The cases of all chunks, in order."""
        return [case for chunk in self.chunks for case in chunk.cases]


@dataclass(frozen=True, slots=True)
class Answers:
    """Where an editor's answers are, by benchmark name and chunk index."""

    editor: str  # its fingerprint
    commits: Mapping[tuple[str, int], Commit]


@dataclass(frozen=True, slots=True)
class Answering:
    """Asks editors for what is not committed yet; `read` streams the chunks with their pictures."""

    store: ShardStore
    measures: Measures
    benchmarks: Sequence[Benchmark]
    read: Callable[[], Iterator[tuple[Chunk, Sequences]]]
    seed: int
    batch: int

    def run(self, editor: Editor, clock: Clock) -> Answers:
        """All of an editor's answers, committed; what is there already is not asked again."""
        commits: dict[tuple[str, int], Commit] = {}
        missing: set[tuple[str, int]] = set()
        for benchmark in self.benchmarks:
            for chunk in benchmark.chunks:
                commit = self.store.find(*self._key(editor, benchmark, chunk))
                if commit is None:
                    missing.add((benchmark.name, chunk.index))
                else:
                    commits[benchmark.name, chunk.index] = commit
        if missing:
            commits |= self._ask(editor, missing, clock)
        return Answers(editor.fingerprint, commits)

    def _ask(
        self, editor: Editor, missing: Set[tuple[str, int]], clock: Clock
    ) -> dict[tuple[str, int], Commit]:
        made: dict[tuple[str, int], Commit] = {}
        for chunk, sequences in self._tracked(editor.name):
            for benchmark in self.benchmarks:
                at = benchmark.name, chunk.index
                if benchmark.kind != chunk.kind or at not in missing:
                    continue
                asking = self._asking(benchmark)
                table = run_chunk(editor, sequences, self.measures, asking, clock)
                shard, made_from = self._key(editor, benchmark, chunk)
                made[at] = self.store.commit(shard, {"data": table}, fingerprint=made_from)
        return made

    def _tracked(self, name: str) -> Iterator[tuple[Chunk, Sequences]]:
        """The chunks, with a progress bar where a person is looking."""
        total = len({(each.kind, chunk.index) for each in self.benchmarks for chunk in each.chunks})
        console = Console(stderr=True)
        yield from track(
            self.read(),
            description=f"{name} edits",
            total=total,
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )

    def rows(self, answers: Answers, benchmark: Benchmark) -> Iterator[Json]:
        """An editor's answers to a benchmark, in the order of its cases."""
        for chunk in benchmark.chunks:
            for batch in self.store.read(answers.commits[benchmark.name, chunk.index]):
                yield from batch.to_pylist()

    def protocol(self, benchmark: Benchmark) -> Json:
        """Everything a benchmark's numbers depend on, besides the editor."""
        return {
            "version": _VERSION,
            "asking": asdict(self._asking(benchmark)),
            "measures": self.measures.parameters,
            "cases": [chunk.digest for chunk in benchmark.chunks],
        }

    def _asking(self, benchmark: Benchmark) -> Asking:
        return Asking(self.seed, self.batch, benchmark.with_mask)

    def _key(self, editor: Editor, benchmark: Benchmark, chunk: Chunk) -> tuple[str, str]:
        mask = "-mask" if benchmark.with_mask else ""
        made_from = self.protocol(benchmark) | {
            "cases": chunk.digest,
            "editor": editor.fingerprint,
        }
        return f"{chunk.kind}{mask}-{chunk.index:05d}", fingerprint(made_from)
