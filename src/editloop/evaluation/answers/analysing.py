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
from editloop.statistics.bootstrap import Resamples
from editloop.statistics.means import Numbers, slice_rows, summaries

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
        resamples = Resamples(groups, analysis.resamples, rng)
        numbers = _numbers(cases, tables, analysis)
        slices = _slices(cases, analysis.axes)
        selections = [np.arange(len(cases)), *slices.values()]
        found["evaluation"], *made = summaries(numbers, resamples, selections)
        found["slices"] = _by_editor(numbers.editors, dict(zip(slices, made, strict=True)))
        found["findings"] = find(analysis.claims, numbers, resamples)
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


def _slices(cases: Sequence[Case], axes: Sequence[str]) -> dict[tuple[str, str], NDArray[np.intp]]:
    """Return the rows of each slice, by axis and value of the axis."""
    labels = {axis: [_LABELS[axis](case) for case in cases] for axis in axes}
    if len(set(labels.get("photo", ()))) > _MOST_PHOTOS:
        del labels["photo"]
    return {
        (axis, value): rows
        for axis, own in labels.items()
        for value, rows in slice_rows(own).items()
    }


def _by_editor(
    editors: Sequence[str], found: Mapping[tuple[str, str], Mapping[str, Json]]
) -> dict[str, dict[str, dict[str, Json]]]:
    """Return editor -> axis -> value of the axis -> metric -> estimate."""
    slices: dict[str, dict[str, dict[str, Json]]] = {name: {} for name in editors}
    for (axis, value), summary in found.items():
        for editor, metrics in summary.items():
            slices[editor].setdefault(axis, {})[value] = metrics
    return slices
