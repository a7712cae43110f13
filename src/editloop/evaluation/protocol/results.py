"""Publish a protocol's cases, pictures and results from its edits and numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pyarrow as pa

from editloop.editors.file_names import output_path, safe_name
from editloop.errors import UnavailableError
from editloop.evaluation.answers.analysing import Analysis, analyse
from editloop.evaluation.answers.asking import Clock
from editloop.evaluation.answers.case_table import CaseWriter
from editloop.evaluation.answers.cases import Case, Chunk
from editloop.evaluation.answers.resuming import Answering, Answers, Benchmark, Round
from editloop.evaluation.protocol.card import Protocol
from editloop.evaluation.protocol.editing import SeatEditing
from editloop.evaluation.protocol.judged import NO_JUDGE
from editloop.evaluation.protocol.measures import ProtocolMeasures
from editloop.evaluation.protocol.notices import departures, leftovers, unusual
from editloop.evaluation.protocol.seats import Seat
from editloop.schema import Json
from editloop.storage.commits import Commit
from editloop.storage.records import fingerprint

__all__ = ["EvaluationState", "publish"]

_AXES = ("type", "group", "turn")
_JUDGE_COMMAND = "editloop evaluate ... --judge recorded:VERDICTS.jsonl"


@dataclass(slots=True)
class EvaluationState:
    """The state of one evaluation, by seat name; it is filled as the work progresses."""

    protocol: Protocol
    seats: Sequence[Seat]
    editing: Mapping[str, SeatEditing]
    answering: Answering
    benchmarks: Mapping[str, tuple[Benchmark, ...]]
    chunks: tuple[Chunk, ...]
    left_out: Counter[str]
    notices: Mapping[str, Json]
    editors: dict[str, str] = field(default_factory=dict)  # fingerprints
    edits: dict[str, Mapping[tuple[str, int], Commit]] = field(default_factory=dict)
    measures: dict[str, ProtocolMeasures] = field(default_factory=dict)
    answers: dict[str, Answers] = field(default_factory=dict)
    missing: dict[str, UnavailableError] = field(default_factory=dict)
    clocks: dict[str, Clock] = field(default_factory=dict)

    def rounds(self, name: str) -> tuple[Round, ...]:
        """Return a seat's rounds, each once."""
        return tuple({each.round.name: each.round for each in self.benchmarks[name]}.values())

    def clock(self, name: str) -> Clock:
        """Return a seat's clock, creating it if missing."""
        return self.clocks.setdefault(name, Clock())


def publish(
    asked: EvaluationState, output: Path, *, seed: int, resamples: int, precision: str
) -> dict[str, dict[str, Json]]:
    """Write every picture and every case's numbers below `output` and return the results.

    Pictures get MagicBrush's file names, in one folder per editor, as its released evaluator
    expects.
    """
    measures = next(iter(asked.measures.values()))
    analysis = Analysis(
        metrics=measures.names,
        resamples=resamples,
        seed=seed,
        axes=_AXES,
        by_group=asked.protocol.averaging == "groups",
        commands=_commands(measures),
    )
    writer = CaseWriter(output, measures.names, measures.texts)
    results: dict[str, dict[str, Json]] = {
        name: {} for name in ("evaluation", "slices", "benchmarks")
    }
    for benchmark in asked.benchmarks[asked.seats[0].name]:
        tables = _tables(asked, benchmark.name, writer)
        found = analyse(benchmark.name, benchmark.cases, tables, asked.missing, analysis)
        for key in ("evaluation", "slices"):
            results[key][benchmark.name] = found[key]
        results["benchmarks"][benchmark.name] = _facts(asked, benchmark, measures, precision)
    writer.finish()
    return results


def _tables(asked: EvaluationState, name: str, writer: CaseWriter) -> dict[str, pa.Table]:
    """Write each seat's cases of one benchmark; return the tables by seat."""
    tables = {}
    for seat, answers in asked.answers.items():
        benchmark = next(each for each in asked.benchmarks[seat] if each.name == name)
        folder = safe_name(seat) + ("-mask" if benchmark.round.asking.with_mask else "")
        rows = asked.answering.rows(answers, benchmark)
        tables[seat] = writer.write(name, seat, rows, partial(_place, folder))
    return tables


def _place(folder: str, case: Case, setting: str) -> Path:
    return Path(folder) / output_path(case.session or case.id, case.turn, setting)


def _commands(measures: ProtocolMeasures) -> dict[tuple[str, str], str | None]:
    """Return, by metric and reason, the command that produces a missing number."""
    judged = {(name, NO_JUDGE): _JUDGE_COMMAND for name in measures.unjudged}
    absent = {(name, error.cause): error.command for name, error in measures.missing.items()}
    return {**judged, **absent}


def _facts(
    asked: EvaluationState, benchmark: Benchmark, measures: ProtocolMeasures, precision: str
) -> dict[str, Json]:
    """Return the facts that a benchmark's numbers depend on; a missing editor has no fingerprint.

    Two runs can share a table only if their `made_from` is equal.
    """
    protocol = asked.protocol
    digests = [digest for chunk in asked.chunks for digest in chunk.digests]
    made_from = {
        "protocol": protocol.fingerprint,
        "data": fingerprint(digests),
        "mask": benchmark.round.asking.with_mask,
        "precision": precision,
        "judge": _judge(measures),
    }
    return {
        "cases": len(benchmark.cases),
        "left_out": dict(asked.left_out),
        **asked.notices,
        "photos": [],
        "editors": [_editor(asked, seat) for seat in asked.seats],
        "metrics": measures.facts,
        "protocol": _card(asked),
        "sweep": _sweep(asked),
        "made_from": made_from,
        "fingerprint": fingerprint(made_from),
    }


def _editor(asked: EvaluationState, seat: Seat) -> dict[str, Json]:
    """Return an editor's name, fingerprint, settings, departures, unused and odd pictures."""
    name, unused, odd, editing = seat.name, None, None, asked.editing[seat.name]
    if name in asked.edits:
        made = asked.answering, asked.edits[name], asked.rounds(name)
        unused, odd = leftovers(seat, *made), unusual(seat, *made)
    return {
        "name": name,
        "fingerprint": asked.editors.get(name),
        "editing": dict(editing.facts),
        "departs": departures(seat, editing.asked),
        "leftovers": unused,
        "unusual": odd,
    }


def _judge(measures: ProtocolMeasures) -> Json:
    """Return the judge's rules and name; the version of recorded verdicts is left out.

    Recorded verdicts belong to an editor, as its pictures do.
    """
    found = measures.parameters["judge"]
    if found is None or found["judge"] is None or found["judge"][0] != "recorded":
        return found
    return {**found, "judge": ["recorded"]}


def _card(asked: EvaluationState) -> dict[str, Json]:
    """Return the protocol's facts, and whether its whole published test was evaluated."""
    protocol, data = asked.protocol, asked.protocol.data
    cases = sum(len(chunk.cases) for chunk in asked.chunks) + asked.left_out.total()
    sessions = sum(len(chunk.digests) for chunk in asked.chunks)
    published = {"sessions": data.sessions, "cases": data.cases}
    given = {"sessions": sessions, "cases": cases}
    return {
        "name": protocol.name,
        "version": protocol.version,
        "title": protocol.title,
        "source": protocol.source,
        "fingerprint": protocol.fingerprint,
        "reading": protocol.reading,
        "averaging": protocol.averaging,
        "given": given,
        "published": published,
        "whole": all(count is None or count == given[name] for name, count in published.items()),
    }


def _sweep(asked: EvaluationState) -> Json:
    """Return each editor's curve: the value of each of its seats."""
    sweep = asked.protocol.sweep
    if sweep is None:
        return None
    curves: dict[str, list[Json]] = {}
    for seat in asked.seats:
        curves.setdefault(seat.editor, []).append({"name": seat.name, "value": seat.value})
    return {**sweep.model_dump(mode="json", exclude={"values"}), "curves": curves}
