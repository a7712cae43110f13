"""One benchmark of several runs: its editors case by case, and the differences between them.

The scores are the runs' own. Differences are over the cases that every compared editor answered,
with a paired bootstrap over cases, turns of a session together. An interval that holds 0 is within
noise, and so is any difference that rests on a single case or session: it has no spread to show.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from editloop.errors import StoreError
from editloop.evaluation.comparing.runfolders import EditorCases, RunFolder, read_cases_of
from editloop.runtime.seeding import generator
from editloop.schema import Json
from editloop.showing.labels import ordered
from editloop.showing.tables import main_metrics
from editloop.showing.telling import told_departures
from editloop.statistics.bootstrap import bootstrap_weights
from editloop.statistics.means import Numbers, compare

__all__ = ["BenchmarkComparison", "Compared", "Difference", "Pairing", "compare_benchmark"]


@dataclass(frozen=True, slots=True)
class Pairing:
    """How editors are compared: on which metrics (None: all), and with which bootstrap."""

    metrics: Sequence[str] | None
    seed: int
    resamples: int


@dataclass(frozen=True, slots=True)
class Compared:
    """An editor of one of the runs: `name` in the comparison, `own` in its run.

    `departs` are the settings in which it was asked otherwise than its protocol's card has it.
    """

    name: str
    own: str
    run: str
    fingerprint: str | None
    departs: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Difference:
    """The first editor's mean of a metric less the second's, with its 95% interval.

    `counts` says how many of the common cases have the number.
    """

    first: str
    second: str
    metric: str
    means: tuple[float, float]
    difference: float
    low: float
    high: float
    counts: tuple[int, int]
    within_noise: bool


@dataclass(frozen=True, slots=True)
class BenchmarkComparison:
    """One benchmark of several runs; `scores` is editor -> metric -> the run's own estimate.

    `common` is how many of the `cases` were answered by every editor that answered any, which
    `paired` names; `absent` names the runs without this benchmark. `main` are the metrics of a
    first look, and `measured` says what a protocol's own names of metrics stand for.
    """

    name: str
    fingerprint: str
    protocol: Mapping[str, Json] | None
    cases: int
    common: int
    editors: tuple[Compared, ...]
    paired: tuple[str, ...]
    metrics: tuple[str, ...]
    main: tuple[str, ...]
    measured: Mapping[str, str]
    scores: Mapping[str, Mapping[str, Json]]
    differences: tuple[Difference, ...]
    absent: tuple[str, ...]

    @property
    def departures(self) -> dict[str, str]:
        """How editors depart from the protocol's card, in words; those that do alone."""
        return {
            each.name: f"departs: {told_departures(each.departs)}"
            for each in self.editors
            if each.departs
        }

    def paired_metrics(self, metrics: Sequence[str]) -> list[str]:
        """Those of some metrics on which any two editors could be paired."""
        found = {each.metric for each in self.differences}
        return [metric for metric in metrics if metric in found]


def compare_benchmark(
    name: str, runs: Sequence[RunFolder], pairing: Pairing, absent: Sequence[str] = ()
) -> BenchmarkComparison:
    """Compare all editors of the runs, which have this benchmark with one fingerprint."""
    found = {metric for run in runs for scores in run.scores[name].values() for metric in scores}
    asked = ordered(found) if pairing.metrics is None else pairing.metrics
    metrics = tuple(metric for metric in asked if metric in found)
    editors = _editors(name, runs)
    numbers, drawn = _joined(name, runs, editors, metrics)
    facts = runs[0].facts(name)
    scores = {run.name: run.scores[name] for run in runs}
    return BenchmarkComparison(
        name=name,
        fingerprint=facts["fingerprint"],
        protocol=facts.get("protocol"),
        cases=len(drawn) or facts.get("cases", 0),
        common=int(numbers.answered.all(axis=0).sum()),
        editors=tuple(editors),
        paired=numbers.editors,
        metrics=metrics,
        main=tuple(main_metrics(metrics)) if pairing.metrics is None else metrics,
        measured=_measured(facts),
        scores={
            each.name: {
                metric: entry
                for metric, entry in scores[each.run][each.own].items()
                if metric in metrics
            }
            for each in editors
        },
        differences=tuple(_differences(name, numbers, drawn, pairing)),
        absent=tuple(absent),
    )


def _measured(facts: Mapping[str, Json]) -> dict[str, str]:
    versions: Mapping[str, Sequence[str]] = facts.get("metrics", {}).get("versions", {})
    return {name: version[0] for name, version in versions.items()}


def _editors(benchmark: str, runs: Sequence[RunFolder]) -> list[Compared]:
    """Every editor of every run, in the runs' order; a name that two runs have gets its run's."""
    times = Counter(name for run in runs for name in run.scores[benchmark])
    made = []
    for run in runs:
        stated = {each["name"]: each for each in run.facts(benchmark).get("editors", ())}
        own = [name for name in stated if name in run.scores[benchmark]]
        own += [name for name in run.scores[benchmark] if name not in stated]
        for name in own:
            shown = name if times[name] == 1 else f"{name} ({run.name})"
            facts = stated.get(name, {})
            made.append(
                Compared(shown, name, run.name, facts.get("fingerprint"), facts.get("departs", {}))
            )
    return made


def _joined(
    benchmark: str, runs: Sequence[RunFolder], editors: Sequence[Compared], metrics: tuple[str, ...]
) -> tuple[Numbers, list[str]]:
    """The numbers of every editor that made a picture, in one order of cases, and what is drawn.

    Sessions are drawn whole. Where the protocol averages over groups, so do the numbers.
    """
    protocol = runs[0].facts(benchmark).get("protocol") or {}
    read = {run.name: read_cases_of(run, benchmark, metrics) for run in runs}
    there = {
        each.name: cases
        for each in editors
        if (cases := read[each.run].get(each.own)) is not None and cases.answered.any()
    }
    if not there:
        values = np.empty((0, 0, len(metrics)))
        return Numbers((), metrics, values, np.empty((0, 0), np.bool_)), []
    first = next(iter(there.values()))
    rows = [_rows(first, cases, f"{benchmark}, {name}") for name, cases in there.items()]
    aligned = list(zip(there.values(), rows, strict=True))
    numbers = Numbers(
        editors=tuple(there),
        metrics=metrics,
        values=np.stack([cases.values[at] for cases, at in aligned]),
        answered=np.stack([cases.answered[at] for cases, at in aligned]),
        groups=first.groups if protocol.get("averaging") == "groups" else None,
    )
    ids = [name for name, _ in first.keys]
    return numbers, [session or name for session, name in zip(first.sessions, ids, strict=True)]


def _rows(order: EditorCases, cases: EditorCases, where: str) -> NDArray[np.intp]:
    """Where an editor's cases stand in its table, in another's order; both must have the same."""
    at = {key: index for index, key in enumerate(cases.keys)}
    odd = sorted(set(order.keys) ^ set(at))
    if odd or len(at) < len(cases.keys):
        name, turn = odd[0] if odd else Counter(cases.keys).most_common(1)[0][0]
        raise StoreError(
            f"the runs' tables do not hold the same cases once each: {where}",
            value=f"case {name}, turn {turn}",
            fix="evaluate again: what is answered is not asked again",
        )
    return np.array([at[key] for key in order.keys], dtype=np.intp)


def _differences(
    benchmark: str, numbers: Numbers, drawn: Sequence[str], pairing: Pairing
) -> Iterator[Difference]:
    """The differences of all pairs of editors, pair by pair, as far as both have numbers."""
    if len(numbers.editors) < 2:
        return
    rng = generator(pairing.seed, "bootstrap", benchmark)
    weights = bootstrap_weights(drawn, pairing.resamples, rng)
    common = numbers.answered.all(axis=0)
    alone = len({drawn[at] for at in np.flatnonzero(common).tolist()}) < 2
    for first, second in combinations(numbers.editors, 2):
        for metric in numbers.metrics:
            made = compare(numbers, weights, first, second, metric)
            if made is not None:
                yield Difference(
                    first,
                    second,
                    metric,
                    means=(made["first"], made["second"]),
                    difference=made["difference"],
                    low=made["low"],
                    high=made["high"],
                    counts=(made["counts"][0], made["counts"][1]),
                    within_noise=alone or made["low"] <= 0 <= made["high"],
                )
