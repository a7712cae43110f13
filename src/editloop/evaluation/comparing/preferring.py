"""Ask a pairwise judge which of two editors' pictures is better, over compared runs.

The judge sees each case that both edited from the same picture in both orders, which cancels its
position bias; where the two answers disagree it is a tie. Replies are stored in the judge's ledger,
so nothing is paid for twice.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import combinations, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from editloop.errors import RecipeError
from editloop.evaluation.comparing.compare import Comparison
from editloop.evaluation.comparing.shared import SharedCases
from editloop.judges.calibration.estimates import share_of
from editloop.judges.pairwise import PairwiseJudge, Preference, position_bias
from editloop.registry import parse_spec
from editloop.schema import Json, Unscored
from editloop.storage.files import Files, explained, replace_file

__all__ = ["Preferences", "Said", "prefer", "write_preferences"]

_FILE = "preferences.json"
_BATCH = 64  # cases in memory at a time
_HITS = {"first": 1.0, "tie": 0.5, "second": 0.0}


@dataclass(frozen=True, slots=True)
class Said:
    """The judge's answer to one case: `orders` as in `Preference`, or the `reason` it has none."""

    id: str
    choice: str | None = None
    orders: tuple[str, str] | None = None
    text: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Preferences:
    """The preferences between two editors: how often the first's pictures were preferred.

    `share` is the first's share of the answered cases, a tie counting half, with its 95% interval;
    None if there is no answer. `first_place` and `second_place` count cases in which the picture
    in that position was chosen in both orders. `left_out` counts, by reason, the cases that were
    not sent to the judge.
    """

    benchmark: str
    first: str
    second: str
    judge: str
    version: str
    wins: tuple[int, int]
    ties: int
    share: Json
    first_place: int
    second_place: int
    unscored: Mapping[str, int]
    left_out: Mapping[str, int]
    cases: Sequence[Said] = field(repr=False)


def prefer(
    compared: Comparison, judge: str | Path | Mapping[str, Json], *, sample: int | None = None
) -> list[Preferences]:
    """Ask a pairwise judge (a SPEC) about every two editors of the compared runs.

    `sample` limits each benchmark to a random sample of that many cases. Raises RecipeError where
    the judge is not pairwise, StoreError where a run's data or pictures are missing.
    """
    spec = parse_spec(judge if isinstance(judge, Mapping) else str(judge), "judge")
    made = spec.create("judge")
    if not isinstance(made, PairwiseJudge):
        raise RecipeError(
            "this judge scores one edit at a time",
            value=spec.name,
            fix="use a pairwise judge: preference:MODEL?base_url=URL",
        )
    try:
        return list(_all(compared, made, sample))
    finally:
        made.close()


def write_preferences(found: Sequence[Preferences], out: Path) -> Path:
    """Write `preferences.json`, with every answer, into a folder and return its path."""
    text = json.dumps({"preferences": [asdict(each) for each in found]}, indent=1)
    path = out / _FILE
    with explained("write preferences", path):
        Files().make_folder(out)
        replace_file(Files(), path, f"{text}\n".encode())
    return path


def _all(compared: Comparison, judge: PairwiseJudge, sample: int | None) -> Iterator[Preferences]:
    for benchmark in compared.benchmarks:
        for first, second in combinations(benchmark.editors, 2):
            folders = compared.runs[first.run], compared.runs[second.run]
            cases = SharedCases(benchmark.name, (first, second), folders, sample, compared.seed)
            yield _preferences(judge, (benchmark.name, first.name, second.name), cases)


def _preferences(
    judge: PairwiseJudge, names: tuple[str, str, str], cases: SharedCases
) -> Preferences:
    answers: list[tuple[str, Preference | Unscored]] = []
    listed = iter(cases)
    while batch := list(islice(listed, _BATCH)):
        answers += zip((each.id for each in batch), judge.compare(batch), strict=True)
    given = [found for _, found in answers if isinstance(found, Preference)]
    chosen = Counter(found.choice for found in given)
    bias = position_bias(given)
    benchmark, first, second = names
    return Preferences(
        benchmark=benchmark,
        first=first,
        second=second,
        judge=judge.name,
        version=judge.version,
        wins=(chosen["first"], chosen["second"]),
        ties=chosen["tie"],
        share=share_of(_hits(answers), [cases.sessions[name] for name, _ in answers]),
        first_place=bias.first_place,
        second_place=bias.second_place,
        unscored=dict(Counter(each.reason for _, each in answers if isinstance(each, Unscored))),
        left_out=dict(cases.left_out),
        cases=[_said(name, found) for name, found in answers],
    )


def _hits(answers: Sequence[tuple[str, Preference | Unscored]]) -> NDArray[np.float64]:
    """Return 1 (first preferred), 0.5 (tie), 0 (second preferred) or NaN (unscored); [cases]."""
    found = [np.nan if isinstance(each, Unscored) else _HITS[each.choice] for _, each in answers]
    return np.array(found, np.float64)


def _said(name: str, found: Preference | Unscored) -> Said:
    if isinstance(found, Unscored):
        return Said(name, reason=found.reason)
    return Said(name, found.choice, found.orders, found.text)
