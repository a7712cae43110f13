"""Compare one benchmark of several runs, pairing the editors' cases.

The scores are the runs' own. Differences are computed over the cases that every compared editor
answered, with a paired bootstrap over cases that keeps the turns of a session together. A
difference is within noise if its interval contains 0, or if it rests on a single case or session,
which has no spread.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from editloop.errors import StoreError
from editloop.evaluation.comparing.runfolders import EditorCases, RunFolder, read_cases_of
from editloop.runtime.seeding import generator
from editloop.schema import Json
from editloop.showing.labels import ordered
from editloop.showing.tables import main_metrics
from editloop.showing.telling import unlike_the_card
from editloop.statistics.bootstrap import Resamples
from editloop.statistics.means import Numbers, Paired

__all__ = ["BenchmarkComparison", "Compared", "Difference", "Pairing", "compare_benchmark"]


@dataclass(frozen=True, slots=True)
class Pairing:
    """Settings of a comparison: the metrics (None: all), and the bootstrap's seed and size."""

    metrics: Sequence[str] | None
    seed: int
    resamples: int


@dataclass(frozen=True, slots=True)
class Compared:
    """An editor of one of the runs: `name` in the comparison, `own` in its run.

    `departs` holds the settings that differ from those of the protocol's card, `editing` all of
    them, and why it uses them.
    """

    name: str
    own: str
    run: str
    fingerprint: str | None
    departs: Mapping[str, Json]
    editing: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Difference:
    """The first editor's mean of a metric minus the second's, with its 95% interval.

    `counts` is, for each editor, the number of common cases with a number.
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

    `paired` names the editors that answered any case, and `common` counts the `cases` that all of
    them answered; `absent` names the runs without this benchmark. `main` are the most important
    metrics, and `measured` maps a protocol's own metric names to metric kinds.
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
        """Texts on the settings of editors that are unlike the protocol's card's."""
        return {each.name: text for each in self.editors if (text := unlike_the_card(asdict(each)))}

    def paired_metrics(self, metrics: Sequence[str]) -> list[str]:
        """Return those of some metrics on which at least two editors could be paired."""
        found = {each.metric for each in self.differences}
        return [metric for metric in metrics if metric in found]


def compare_benchmark(
    name: str, runs: Sequence[RunFolder], pairing: Pairing, absent: Sequence[str] = ()
) -> BenchmarkComparison:
    """Compare all editors of runs that have this benchmark with the same fingerprint."""
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
    """Return every editor of every run; a name that several runs use gets its run's appended."""
    times = Counter(name for run in runs for name in run.scores[benchmark])
    made = []
    for run in runs:
        stated = {each["name"]: each for each in run.facts(benchmark).get("editors", ())}
        own = [name for name in stated if name in run.scores[benchmark]]
        own += [name for name in run.scores[benchmark] if name not in stated]
        for name in own:
            shown = name if times[name] == 1 else f"{name} ({run.name})"
            facts = stated.get(name, {})
            departs, editing = facts.get("departs", {}), facts.get("editing", {})
            made.append(Compared(shown, name, run.name, facts.get("fingerprint"), departs, editing))
    return made


def _joined(
    benchmark: str, runs: Sequence[RunFolder], editors: Sequence[Compared], metrics: tuple[str, ...]
) -> tuple[Numbers, list[str]]:
    """Return the numbers of every editor that made a picture, and the bootstrap unit of each case.

    All editors have the same order of cases. A session is one unit. Where the protocol averages
    over groups, so do the numbers.
    """
    protocol = runs[0].facts(benchmark).get("protocol") or {}
    read = {run.name: read_cases_of(run, benchmark, metrics) for run in runs}
    present = {
        each.name: cases
        for each in editors
        if (cases := read[each.run].get(each.own)) is not None and cases.answered.any()
    }
    if not present:
        values = np.empty((0, 0, len(metrics)))
        return Numbers((), metrics, values, np.empty((0, 0), np.bool_)), []
    first = next(iter(present.values()))
    rows = [_rows(first, cases, f"{benchmark}, {name}") for name, cases in present.items()]
    aligned = list(zip(present.values(), rows, strict=True))
    numbers = Numbers(
        editors=tuple(present),
        metrics=metrics,
        values=np.stack([cases.values[at] for cases, at in aligned]),
        answered=np.stack([cases.answered[at] for cases, at in aligned]),
        groups=first.groups if protocol.get("averaging") == "groups" else None,
    )
    ids = [name for name, _ in first.keys]
    return numbers, [session or name for session, name in zip(first.sessions, ids, strict=True)]


def _rows(order: EditorCases, cases: EditorCases, where: str) -> NDArray[np.intp]:
    """Return the rows of `cases` in the order of `order`; StoreError if their cases differ."""
    at = {key: index for index, key in enumerate(cases.keys)}
    odd = sorted(set(order.keys) ^ set(at))
    if odd or len(at) < len(cases.keys):
        name, turn = odd[0] if odd else Counter(cases.keys).most_common(1)[0][0]
        raise StoreError(
            f"the runs' tables do not hold the same cases once each: {where}",
            value=f"case {name}, turn {turn}",
            fix="evaluate again: finished edits are reused",
        )
    return np.array([at[key] for key in order.keys], dtype=np.intp)


def _differences(
    benchmark: str, numbers: Numbers, drawn: Sequence[str], pairing: Pairing
) -> Iterator[Difference]:
    """Yield the differences of all pairs of editors on the metrics that both have."""
    if len(numbers.editors) < 2:
        return
    rng = generator(pairing.seed, "bootstrap", benchmark)
    paired = Paired(numbers, Resamples(drawn, pairing.resamples, rng))
    common = numbers.answered.all(axis=0)
    alone = len({drawn[at] for at in np.flatnonzero(common).tolist()}) < 2
    for first, second in combinations(numbers.editors, 2):
        for metric in numbers.metrics:
            made = paired.compare(first, second, metric)
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
