"""The benchmark `darkroom`: held-out single edits and sessions with known true results."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from editloop.darkroom.truth import KnownTruthJudge
from editloop.editors.file_names import safe_name
from editloop.errors import StoreError, UnavailableError
from editloop.evaluation.answers.analysing import Analysis, analyse
from editloop.evaluation.answers.asking import Clock, EditingSettings
from editloop.evaluation.answers.case_table import CaseWriter
from editloop.evaluation.answers.cases import (
    SESSIONS,
    SINGLE_TURN,
    Case,
    Chunk,
    ReadCases,
    read_chunks,
    without_pictures,
)
from editloop.evaluation.answers.expectations import CLAIMS, Claim
from editloop.evaluation.answers.resuming import Answering, Answers, Benchmark, Round
from editloop.evaluation.darkroom.measuring import Measures
from editloop.images.codec import decode
from editloop.kernel.chunks import ChunkRunner
from editloop.loop.parts import PartContext, PartResult
from editloop.metrics.metric_set import metrics_of
from editloop.registry import Spec, parse_spec
from editloop.schema import Json
from editloop.settings import Settings
from editloop.storage.records import fingerprint
from editloop.storage.samples import read_samples
from editloop.storage.shards import ShardStore

__all__ = ["DarkroomBenchmark", "resolved"]


class DarkroomBenchmark:
    """Evaluate editors on held-out edits with known true results: single edits and sessions."""

    version = "2"

    class Settings(Settings):
        """Editors and further metrics are SPECs; `mask` repeats all edits with the mask given.

        `chunk` cases are one unit of resumable work, an editor gets `batch` of them at once, and
        `resamples` is the number of bootstrap resamples.
        """

        editors: Annotated[tuple[str | dict[str, Json], ...], Field(min_length=1)]
        metrics: tuple[str | dict[str, Json], ...] = ()
        mask: bool = False
        batch: Annotated[int, Field(ge=1)] = 32
        chunk: Annotated[int, Field(ge=1)] = 64
        resamples: Annotated[int, Field(ge=100)] = 1000
        claims: tuple[Claim, ...] = CLAIMS

        @model_validator(mode="after")
        def _names_are_unique(self) -> DarkroomBenchmark.Settings:
            names = [parse_spec(spec, "editor").name for spec in self.editors]
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"two editors are named {twice[0]!r}: write NAME=SPEC")
            return self

    def __init__(self, settings: DarkroomBenchmark.Settings) -> None:
        self._settings = settings
        self._editors = [parse_spec(spec, "editor") for spec in settings.editors]
        self._measures = _measures(settings.metrics)

    @property
    def parameters(self) -> Mapping[str, Json]:
        """Everything that can change a result: the settings and the measures."""
        return {**self._settings.model_dump(mode="json"), "measures": self._measures.parameters}

    def run(self, context: PartContext) -> PartResult:
        """Run every editor on the missing cases, then measure, average and publish."""
        with context.chunk_runner() as runner:
            asked = self._ask(context, runner)
        timings = {name: clock.facts for name, clock in asked.clocks.items() if clock.edits}
        return PartResult(self._publish(context, asked), {"editors": timings})

    def _ask(self, context: PartContext, runner: ChunkRunner) -> _BenchmarkState:
        left_out: Counter[str] = Counter()
        chunks = list(without_pictures(self._read(context, left_out)))
        if not chunks:
            raise StoreError(
                "there are no held-out edits to evaluate",
                value=context.run / "data",
                fix="give a source a `heldout` split, then build again",
            )
        answering = Answering(
            ShardStore(context.cache / "answers"),
            read=lambda: self._read(context),
            decode=decode,
            runner=runner,
        )
        asked = _BenchmarkState(answering, self._benchmarks(chunks, context.seed), left_out)
        rounds = tuple(benchmark.round for benchmark in asked.benchmarks)
        make_measures = partial(_measures, self._settings.metrics)
        for spec in self._editors:
            clock = asked.clocks[spec.name] = Clock()
            try:
                make = partial(resolved(spec, context).create, "editor")
                editor = make()
                edits = answering.edit(editor, make, rounds, clock)
            except UnavailableError as error:
                asked.missing[spec.name] = error
                continue
            numbers = answering.measure(
                edits, rounds, self._measures, make=make_measures, clock=clock
            )
            asked.answers[spec.name] = Answers(editor.fingerprint, edits, numbers)
        return asked

    def _read(
        self, context: PartContext, left_out: Counter[str] | None = None
    ) -> Iterator[tuple[Chunk, ReadCases]]:
        samples = read_samples(context.run / "data", "heldout")
        for chunk, sequences in read_chunks(samples, self._settings.chunk, left_out):
            yield chunk, ReadCases(sequences)
            del sequences  # frees the pictures before the next chunk is read

    def _benchmarks(self, chunks: Sequence[Chunk], seed: int) -> tuple[Benchmark, ...]:
        """Return a benchmark for each kind of cases, without and, if set, with the mask."""
        return tuple(
            self._benchmark(kind, own, EditingSettings(seed, self._settings.batch, with_mask))
            for with_mask in ((False, True) if self._settings.mask else (False,))
            for kind in (SINGLE_TURN, SESSIONS)
            if (own := tuple(chunk for chunk in chunks if chunk.kind == kind))
        )

    @staticmethod
    def _benchmark(kind: str, chunks: tuple[Chunk, ...], asking: EditingSettings) -> Benchmark:
        name = f"{kind}/mask" if asking.with_mask else kind
        return Benchmark(f"darkroom/{name}", Round(safe_name(name), asking, chunks))

    def _publish(self, context: PartContext, asked: _BenchmarkState) -> dict[str, dict[str, Json]]:
        """Write pictures and numbers of every case, and return their analysis."""
        settings, answering, measures = self._settings, asked.answering, self._measures
        analysis = Analysis(measures.names, settings.resamples, context.seed, settings.claims)
        writer = CaseWriter(context.output, measures.names, measures.texts)
        results: dict[str, dict[str, Json]] = {
            name: {} for name in ("evaluation", "slices", "findings", "benchmarks")
        }
        for benchmark in asked.benchmarks:
            tables = {
                name: writer.write(
                    benchmark.name,
                    name,
                    answering.rows(made, benchmark),
                    partial(_place, benchmark.name, name),
                )
                for name, made in asked.answers.items()
            }
            found = analyse(benchmark.name, benchmark.cases, tables, asked.missing, analysis)
            for name, content in found.items():
                results[name][benchmark.name] = content
            results["benchmarks"][benchmark.name] = self._facts(benchmark, asked)
        writer.finish()
        return results

    def _facts(self, benchmark: Benchmark, asked: _BenchmarkState) -> dict[str, Json]:
        """Return the facts that a benchmark's numbers depend on.

        A missing editor has no fingerprint.
        """
        made = {name: answers.editor for name, answers in asked.answers.items()}
        made_from = {
            "asking": asdict(benchmark.round.asking),
            "measures": self._measures.parameters,
            "cases": [chunk.digest for chunk in benchmark.round.chunks],
        }
        return {
            "cases": len(benchmark.cases),
            "left_out": dict(asked.left_out),
            "photos": sorted({case.photo for case in benchmark.cases if case.photo is not None}),
            "editors": [{"name": name, "fingerprint": made.get(name)} for name in asked.clocks],
            "fingerprint": fingerprint(made_from),
        }


@dataclass(frozen=True, slots=True)
class _BenchmarkState:
    """The state of one evaluation: answers, missing editors, excluded turns and time spent."""

    answering: Answering
    benchmarks: tuple[Benchmark, ...]
    left_out: Counter[str]
    answers: dict[str, Answers] = field(default_factory=dict)
    missing: dict[str, UnavailableError] = field(default_factory=dict)
    clocks: dict[str, Clock] = field(default_factory=dict)


def _measures(metrics: Sequence[str | Mapping[str, Json]]) -> Measures:
    return Measures(KnownTruthJudge(), metrics_of(metrics))


def resolved(spec: Spec, context: PartContext) -> Spec:
    """Resolve a diffusion editor's relative target against the run folder, if it exists there."""
    target = spec.settings.get("target")
    if spec.kind != "diffusion" or not isinstance(target, str) or Path(target).is_absolute():
        return spec
    folder = context.run / target
    if not folder.is_dir():
        return spec
    return replace(spec, settings={**spec.settings, "target": str(folder)})


def _place(benchmark: str, editor: str, case: Case, _setting: str) -> Path:
    """Return the picture's relative path: BENCHMARK/EDITOR/ID_TURN.png."""
    folder = Path(safe_name(benchmark.partition("/")[2]), safe_name(editor))
    return folder / f"{safe_name(case.id)}_{case.turn}.png"
