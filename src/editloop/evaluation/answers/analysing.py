"""Compute a benchmark's entries in `results.json` from its table of cases."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from editloop.errors import UnavailableError
from editloop.evaluation.answers.case_table import frequent_reasons, values_of
from editloop.evaluation.answers.cases import Case
from editloop.evaluation.answers.expectations import Claim, find
from editloop.runtime.seeding import generator
from editloop.schema import Json
from editloop.statistics.bootstrap import bootstrap_weights
from editloop.statistics.means import Numbers, slice_rows, summarise

__all__ = ["Analysis", "analyse"]

# Nobody reads a longer table of photos; the numbers are in the table of cases.
_MOST_PHOTOS = 50


@dataclass(frozen=True, slots=True)
class Analysis:
    """Settings of the analysis of a benchmark's numbers.

    Cases are sliced by each of `axes`. `by_group` averages over the groups' means. `commands`
    gives, by metric and reason, the command that produces a missing number.
    """

    metrics: tuple[str, ...]
    resamples: int
    seed: int
    claims: Sequence[Claim] = ()
    axes: tuple[str, ...] = ("type", "turn", "photo")
    by_group: bool = False
    commands: Mapping[tuple[str, str], str | None] = field(default_factory=dict)


def analyse(
    name: str,
    cases: Sequence[Case],
    tables: Mapping[str, pa.Table],
    missing: Mapping[str, UnavailableError],
    analysis: Analysis,
) -> dict[str, Json]:
    """Return a benchmark's `evaluation`, `slices` and `findings`.

    Editors in `missing` could not run; their entries hold the reason instead of a mean.
    """
    found: dict[str, Json] = {"evaluation": {}, "slices": {}, "findings": []}
    if tables:
        groups = [case.session or case.id for case in cases]
        rng = generator(analysis.seed, "bootstrap", name)
        weights = bootstrap_weights(groups, analysis.resamples, rng)
        numbers = _numbers(cases, tables, analysis)
        found["evaluation"] = summarise(numbers, weights)
        found["slices"] = _slices(cases, numbers, weights, analysis.axes)
        found["findings"] = find(analysis.claims, numbers, weights)
    for editor, error in missing.items():
        entry = {"mean": None, "reason": error.cause, "command": error.command}
        found["evaluation"][editor] = dict.fromkeys(analysis.metrics, entry)
    return found


def _numbers(cases: Sequence[Case], tables: Mapping[str, pa.Table], analysis: Analysis) -> Numbers:
    return Numbers(
        editors=tuple(tables),
        metrics=analysis.metrics,
        values=np.stack([values_of(table, analysis.metrics) for table in tables.values()]),
        answered=np.stack([table["unedited"].is_null().to_numpy() for table in tables.values()]),
        reasons={
            (name, metric): reason
            for name, table in tables.items()
            for metric, reason in frequent_reasons(table).items()
        },
        commands=analysis.commands,
        groups=[case.group for case in cases] if analysis.by_group else None,
    )


_LABELS: dict[str, Callable[[Case], str | None]] = {
    "type": lambda case: case.edit_type.value if case.edit_type else None,
    "group": lambda case: case.group,
    "turn": lambda case: str(case.turn),
    "photo": lambda case: case.photo,
}


def _slices(
    cases: Sequence[Case], numbers: Numbers, weights: NDArray[np.float64], axes: Sequence[str]
) -> dict[str, dict[str, dict[str, Json]]]:
    """Return editor -> axis -> value of the axis -> metric -> estimate."""
    labels = {axis: [_LABELS[axis](case) for case in cases] for axis in axes}
    if len(set(labels.get("photo", ()))) > _MOST_PHOTOS:
        del labels["photo"]
    slices: dict[str, dict[str, dict[str, Json]]] = {name: {} for name in numbers.editors}
    for axis, own in labels.items():
        for value, rows in slice_rows(own).items():
            for editor, metrics in summarise(numbers, weights, rows).items():
                slices[editor].setdefault(axis, {})[value] = metrics
    return slices
