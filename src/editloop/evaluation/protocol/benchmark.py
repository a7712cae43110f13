"""The benchmark `protocol`: any editors, on any data, by a published protocol card."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from editloop.errors import RecipeError, UnavailableError
from editloop.evaluation.answers.asking import INDEPENDENT, Decode, EditingSettings
from editloop.evaluation.answers.cases import Chunk
from editloop.evaluation.answers.finding import FoundEditor
from editloop.evaluation.answers.resuming import Answering, Answers, Benchmark, Round
from editloop.evaluation.darkroom.benchmark import resolved
from editloop.evaluation.protocol.card import Protocol, read_protocol
from editloop.evaluation.protocol.case_data import CaseData
from editloop.evaluation.protocol.editing import SeatEditing, editing_of
from editloop.evaluation.protocol.judged import check_judge
from editloop.evaluation.protocol.measures import ProtocolMeasures, protocol_metrics
from editloop.evaluation.protocol.results import EvaluationState, publish
from editloop.evaluation.protocol.seats import Seat, seats_of
from editloop.hub import weights
from editloop.images.codec import decode, decode_bare
from editloop.images.masks import MaskSettings
from editloop.judges.specs import settled
from editloop.kernel.chunks import ChunkRunner
from editloop.kernel.engines.worker import current_worker
from editloop.loop.parts import PartContext, PartResult
from editloop.metrics.metric_set import Chosen, MetricSet
from editloop.registry import Spec, parse_spec
from editloop.schema import Editor, Json, Judge
from editloop.sources.layouts import Layout, open_layout
from editloop.sources.notices import listed
from editloop.sources.reading import Mapped
from editloop.storage.shards import ShardStore

__all__ = ["ProtocolBenchmark"]

_NO_ENCODES = {"images_encoded": 0, "images_found": 0, "texts_encoded": 0, "texts_found": 0}
_MASKS = {"without": (False,), "with": (True,), "both": (False, True)}


class ProtocolBenchmark:
    """Evaluate editors by a protocol; finished edits and numbers are reused, no case is skipped."""

    version = "2"

    class Settings(MaskSettings):
        """A protocol's name or card, the data's folder, and the editors as SPECs.

        `metrics` are names of the card (all of them, if none is given) or further SPECs. `mask`
        says whether editors are given the mask; `mask_rule` and `invert_mask` say where the data's
        masks allow editing. `missing: count` counts missing recorded pictures
        as unedited. An editor gets `batch` cases at once, `chunk` sessions are one unit of
        resumable work, and `embeddings` is a cache folder that runs may share.
        """

        protocol: str
        data: Path
        editors: Annotated[tuple[str | dict[str, Json], ...], Field(min_length=1)]
        metrics: tuple[str, ...] = ()
        judge: str | dict[str, Json] | None = None
        mask: Literal["without", "with", "both"] = "without"
        missing: Literal["refuse", "count"] = "refuse"
        precision: Literal["fp32", "bf16"] = "fp32"
        embeddings: Path | None = None
        batch: Annotated[int, Field(ge=1)] = 8
        chunk: Annotated[int, Field(ge=1)] = 16
        resamples: Annotated[int, Field(ge=100)] = 1000

    def __init__(self, settings: ProtocolBenchmark.Settings) -> None:
        self._settings = settings
        self._protocol = read_protocol(settings.protocol)
        self._seats = seats_of(self._protocol, settings.editors)
        if settings.judge is not None and self._protocol.judge is None:
            raise RecipeError(
                "this protocol uses no judge", value=self._protocol.name, fix="leave out the judge"
            )
        if settings.mask == "both" and any(seat.is_recorded for seat in self._seats):
            raise RecipeError(
                "recorded pictures were made with a mask or without, not both",
                value="mask: both",
                fix="evaluate twice, once with `mask: without` and once with `mask: with`",
            )
        self._metrics = protocol_metrics(self._protocol, settings.metrics, settings.precision)

    @property
    def parameters(self) -> Mapping[str, Json]:
        """Everything that can change a result: settings, card, stamps of data and weights."""
        settings = self._settings.model_dump(mode="json", exclude={"embeddings"})
        targets = {seat.name: seat.spec.settings.get("target") for seat in self._seats}
        judges = {seat.name: judge.version for seat in self._seats if (judge := self._judge(seat))}
        return {
            **settings,
            "card": self._protocol.fingerprint,
            "data_stamp": self._layout.digest(),
            "editor_stamps": {name: weights.stamp(str(each)) for name, each in targets.items()},
            "editors_own": {seat.name: _own(seat) for seat in self._seats},
            "judge_versions": judges,
            "metrics_own": MetricSet(self._metrics).parameters,
            "weights": MetricSet(self._metrics).stamps,
        }

    @cached_property
    def _layout(self) -> Layout:
        data = self._protocol.data
        reading = self._settings.mask_reading
        return open_layout(data.layout, self._settings.data, reading=reading, **data.options)

    @property
    def weights(self) -> list[str]:
        """The names of the published weights that metrics and editors load."""
        editors = [seat.spec.create("editor") for seat in self._seats]
        metrics = [each.metric for each in self._metrics.values()]
        named = [getattr(each, "weights", ()) for each in (*metrics, *editors)]
        return sorted({name for names in named for name in names if not Path(name).is_file()})

    def run(self, context: PartContext) -> PartResult:
        """Check the inputs, run every editor on the missing cases, measure, and publish."""
        with context.chunk_runner() as runner:
            asked = self._asked(context, runner)
            self._find(asked)
            self._edit(asked, context)
            self._measure(asked, context)
        results = publish(
            asked,
            context.output,
            seed=context.seed,
            resamples=self._settings.resamples,
            precision=self._settings.precision,
        )
        clocks = {name: clock.facts for name, clock in asked.clocks.items() if clock.measured}
        encodes = sum((clock.encodes for clock in asked.clocks.values()), Counter(_NO_ENCODES))
        return PartResult(results, {"editors": clocks, "encodes": dict(encodes)})

    def _asked(self, context: PartContext, runner: ChunkRunner) -> EvaluationState:
        store = ShardStore(context.cache / "answers")
        data = self._surveyed(partial(runner.map, store))
        editing = {seat.name: self._editing(seat, context) for seat in self._seats}
        return EvaluationState(
            protocol=self._protocol,
            seats=self._seats,
            editing=editing,
            answering=Answering(store, data.read, self._decode, runner),
            benchmarks={
                name: self._benchmarks(own.asked, data.chunks, context.seed)
                for name, own in editing.items()
            },
            chunks=data.chunks,
            left_out=data.left_out,
            notices={**data.notices.facts, "near_shapes": listed(self._layout.near_shapes())},
        )

    def _surveyed(self, mapped: Mapped) -> CaseData:
        """Return the cases of the data; RecipeError if it has a problem, or no case."""
        problems = self._layout.problems(mapped)
        if problems:
            raise _refused("the data", self._settings.data, map(str, problems))
        data = CaseData(self._layout, self._protocol.exclude, self._settings.chunk)
        data.survey(mapped)
        if not data.chunks:
            raise RecipeError(
                "there is no case to evaluate", value=self._settings.data, fix="name other data"
            )
        return data

    @property
    def _decode(self) -> Decode:
        return decode_bare if self._protocol.reading == "bare" else decode

    def _editing(self, seat: Seat, context: PartContext) -> SeatEditing:
        """Return an editor's settings; of one that is unavailable only the card's are known."""
        try:
            editor: Editor = resolved(seat.spec, context).create("editor")
            absent = getattr(editor, "missing", lambda: None)()
        except UnavailableError as error:
            absent = error
        if absent is not None:
            return SeatEditing(seat.editing)
        return editing_of(self._protocol, seat, editor)

    def _benchmarks(
        self, editing: Mapping[str, Json], chunks: tuple[Chunk, ...], seed: int
    ) -> tuple[Benchmark, ...]:
        """Return the card's benchmarks, without and/or with the mask, as set."""
        cards = self._protocol.benchmarks
        fixed = self._protocol.seed
        ways = sorted({INDEPENDENT, *(card.setting for card in cards.values())})
        if not any(card.setting == INDEPENDENT for card in cards.values()):
            ways.remove(INDEPENDENT)
        made = []
        for with_mask in _MASKS[self._settings.mask]:
            asking = EditingSettings(
                seed=fixed if isinstance(fixed, int) else seed,
                batch=self._settings.batch,
                with_mask=with_mask,
                settings=tuple(ways),
                shared_seed=fixed is not None,
                unscaled=True,
                editing=editing,
                recorded=self._protocol.recorded,
            )
            asking_round = Round("mask" if with_mask else "plain", asking, chunks)
            suffix = "/mask" if with_mask else ""
            made += [
                Benchmark(
                    f"{self._protocol.name}/{name}{suffix}",
                    asking_round,
                    card.setting,
                    card.last_only,
                )
                for name, card in cards.items()
            ]
        return tuple(made)

    def _find(self, asked: EvaluationState) -> None:
        """Find all recorded pictures before any editing; RecipeError lists all missing ones."""
        absent: list[str] = []
        broken: list[str] = []
        for seat in self._seats:
            if not seat.is_recorded:
                continue
            self._answer(asked, seat, partial(seat.spec.create, "editor"))
            for place, is_broken in self._lacking(asked, seat).items():
                (broken if is_broken else absent).append(f"{seat.name}: {place}")
        problems = broken + (absent if self._settings.missing == "refuse" else [])
        if problems:
            raise _refused(
                "recorded pictures",
                self._settings.data,
                problems,
                " or count absent ones as unedited with `missing: count` (--allow-missing)",
            )

    def _lacking(self, asked: EvaluationState, seat: Seat) -> dict[str, bool]:
        """Return the pictures a recorded editor lacks; True means it exists but is unreadable.

        An optional benchmark may lack pictures, but they must not be unreadable.
        """
        found: dict[str, bool] = {}
        for benchmark in asked.benchmarks[seat.name]:
            card = self._protocol.benchmarks[benchmark.name.split("/")[1]]
            for case, edit in asked.answering.edits(asked.edits[seat.name], benchmark):
                is_broken = edit["path"] is not None
                if edit["unedited"] is not None and (is_broken or not card.optional):
                    found[f"{case.id}: {edit['unedited']}"] = is_broken
        return found

    def _edit(self, asked: EvaluationState, context: PartContext) -> None:
        for seat in self._seats:
            if seat.is_recorded:
                continue
            try:
                make = partial(resolved(seat.spec, context).create, "editor")
                self._answer(asked, seat, make)
            except UnavailableError as error:
                asked.missing[seat.name] = error

    def _answer(
        self, asked: EvaluationState, seat: Seat, make: Callable[[], Editor | FoundEditor]
    ) -> None:
        editor = make()
        if not seat.is_recorded:
            self._check_mask(editor)
        edits = asked.answering.edit(editor, make, asked.rounds(seat.name), asked.clock(seat.name))
        asked.editors[seat.name], asked.edits[seat.name] = editor.fingerprint, edits

    def _check_mask(self, editor: Editor | FoundEditor) -> None:
        """Raise UnavailableError for an editor without mask: its answers would be the same."""
        if self._settings.mask != "without" and not getattr(editor, "uses_mask", True):
            raise UnavailableError(f"{editor.name} reads no mask: evaluate it without")

    def _measure(self, asked: EvaluationState, context: PartContext) -> None:
        folder = self._settings.embeddings or context.cache / "embeddings"
        specs = {name: chosen.spec for name, chosen in self._metrics.items()}
        for seat in self._seats:
            judge = self._judge(seat, context.cache)
            make = partial(_measures, self._protocol, specs, judge, folder)
            measures = ProtocolMeasures(self._protocol, self._metrics, judge)
            asked.measures[seat.name] = measures
            edits = asked.edits.get(seat.name)
            if edits is None:
                continue
            clock, rounds = asked.clock(seat.name), asked.rounds(seat.name)
            numbers = asked.answering.measure(edits, rounds, measures, make=make, clock=clock)
            asked.answers[seat.name] = Answers(asked.editors[seat.name], edits, numbers)

    def _judge(self, seat: Seat, cache: Path | None = None) -> Judge | None:
        """Return the judge, if one is given; recorded verdicts may be in one file per editor.

        A model judge, also in a panel, uses the card's rubrics and JPEG quality and the run's
        ledger, unless its SPEC sets others.
        """
        card = self._protocol.judge
        if self._settings.judge is None or card is None:
            return None
        defaults: dict[str, Json] = {"rubrics": list(card.rubrics or card.perspectives)}
        if card.jpeg_quality is not None:
            defaults["jpeg_quality"] = card.jpeg_quality
        if cache is not None:
            defaults["ledger"] = str(cache / "ledger.sqlite")
        spec = settled(parse_spec(self._settings.judge, "judge"), defaults)
        target = spec.settings.get("target")
        if isinstance(target, str):
            own = {**spec.settings, "target": target.replace("{editor}", seat.name)}
            spec = replace(spec, settings=own)
        judge: Judge = spec.create("judge")
        check_judge(card, judge)
        return judge


def _own(seat: Seat) -> str | None:
    """Return the fingerprint of an editor that a stamp of weights does not identify."""
    if seat.spec.kind not in ("copy", "darkroom", "recorded") and ":" not in seat.spec.kind:
        return None
    try:
        found: str = seat.spec.create("editor").fingerprint
    except UnavailableError:
        return None
    return found


def _measures(
    protocol: Protocol, specs: Mapping[str, Spec], judge: Judge | None, folder: Path
) -> ProtocolMeasures:
    """Create the measures of a worker, whose embeddings are shared by all that it measures."""
    metrics = {name: Chosen(spec, spec.create("metric")) for name, spec in specs.items()}
    embeddings = None
    if any(hasattr(each.metric, "use") for each in metrics.values()):
        from editloop.metrics.embeddings import Embeddings  # imports torch

        embeddings = current_worker().kept(("embeddings", folder), partial(Embeddings, folder))
    return ProtocolMeasures(protocol, metrics, judge, embeddings)


def _refused(what: str, where: Path, problems: Iterable[str], more: str = "") -> RecipeError:
    lines = list(problems)
    count = f"{len(lines)} {'problem' if len(lines) == 1 else 'problems'}"
    return RecipeError(
        f"{count} in {what}",
        value="\n  ".join([str(where), *lines]),
        fix=f"fix them{more}; nothing is skipped silently",
    )
