"""Running one step on one batch: contract checks, and bisection of a batch that fails.

Each row of a batch gets one outcome: if the step raises on a row, only that row fails.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from editloop.errors import (
    FailureClass,
    ImageError,
    RecipeError,
    StepError,
    StoreError,
    UnavailableError,
)
from editloop.kernel.engines.worker import current_worker
from editloop.kernel.groups import grouping
from editloop.kernel.steps import Drop, Fail, Keep, Outcome, Source, SourceItem, Step
from editloop.schema import EditSample

__all__ = [
    "DEADLINE",
    "Identified",
    "Stage",
    "answers",
    "check_step",
    "deadline_of",
    "load_stage",
    "step_stage",
]

DEADLINE = (
    120.0  # seconds that a step may take for one input, unless it or the build states another
)

# Errors that no row causes: they stop the whole build, which resumes once they are fixed.
_STOPPING = (RecipeError, StoreError, UnavailableError)

_FIELDS = frozenset(field.name for field in fields(EditSample))


class Identified(Protocol):
    """A row of a batch: a source's item or a sample."""

    @property
    def id(self) -> str: ...


_Row = TypeVar("_Row", bound=Identified)


@dataclass(frozen=True, slots=True)
class Stage(Generic[_Row]):
    """A step, or the loading of a source, as functions.

    `run` returns the outcomes of a batch, `check` returns a row's outcome after its contract
    checks, and `refuse` returns a Fail for a row that must not reach `run`. A row may take
    `deadline` seconds. `group` names the rows that belong together.
    """

    name: str
    run: Callable[[Sequence[_Row]], list[Outcome]]
    check: Callable[[_Row, Outcome], Outcome] = lambda _, outcome: outcome
    refuse: Callable[[_Row], Fail | None] = lambda _: None
    deadline: float = DEADLINE
    group: Callable[[_Row], str] | None = None


def load_stage(name: str, source: Source, deadline: float = DEADLINE) -> Stage[SourceItem]:
    """Return the stage that loads a source: each item becomes one sample with its id, or fails."""

    def check(item: SourceItem, outcome: Outcome) -> Outcome:
        if isinstance(outcome, Keep) and [sample.id for sample in outcome.samples] != [item.id]:
            return _broken(f"{name} must answer an item with one sample of its id")
        return outcome

    return Stage(name, source.load, check, deadline=deadline_of(source, deadline))


def step_stage(name: str, step: Step, deadline: float = DEADLINE) -> Stage[EditSample]:
    """Return the stage of a step, which checks `needs` before and outcomes and `adds` after."""

    def refuse(sample: EditSample) -> Fail | None:
        absent = _absent(sample, step.needs)
        return _broken(f"{name} needs `{absent}`, which this sample has not") if absent else None

    def check(sample: EditSample, outcome: Outcome) -> Outcome:
        if not isinstance(outcome, Keep):
            return outcome
        for made in outcome.samples:
            absent = _absent(made, step.adds)
            if absent:
                return _broken(f"{name} promises `{absent}`, which sample {made.id!r} has not")
        return Keep(tuple(_with_parent(made, sample) for made in outcome.samples), outcome.attempts)

    return Stage(name, step.process, check, refuse, deadline_of(step, deadline), grouping(step))


def deadline_of(part: Source | Step, default: float) -> float:
    """Return the seconds that a source or step may take for one input."""
    stated = getattr(part, "deadline", None)
    return default if stated is None else float(stated)


def check_step(name: str, step: Step) -> None:
    """Raise StepError if a step needs or adds a field that `EditSample` does not have."""
    unknown = sorted((step.needs | step.adds) - _FIELDS)
    if unknown:
        raise StepError(
            f"step {name!r} names an unknown sample field",
            value=unknown[0],
            fix=f"known fields: {', '.join(sorted(_FIELDS))}",
        )


def answers(
    stage: Stage[_Row], rows: Sequence[_Row], sizes: Sequence[int] | None = None
) -> list[Outcome]:
    """Return one checked outcome for each row, in order.

    `sizes` are the numbers of successive rows that belong together; each row is alone without them.
    """
    bounds = list(accumulate(sizes or [1] * len(rows), initial=0))
    units = [rows[start:stop] for start, stop in pairwise(bounds)]
    refused = [_refused(stage, unit) for unit in units]
    accepted = [unit for unit, fails in zip(units, refused, strict=True) if not fails]
    outcomes = iter(_bisected(stage, accepted) if accepted else [])
    return [
        fails[at] if fails else next(outcomes)
        for unit, fails in zip(units, refused, strict=True)
        for at in range(len(unit))
    ]


def _refused(stage: Stage[_Row], unit: Sequence[_Row]) -> list[Fail]:
    """Return the failures of a unit if one of its rows must not reach the step, else []."""
    found = {row.id: fail for row in unit if (fail := stage.refuse(row)) is not None}
    if not found:
        return []
    first = next(iter(found))
    rest = _broken(f"{stage.name} takes whole groups, and {first!r} of this one was refused")
    return [found.get(row.id, rest) for row in unit]


def _bisected(stage: Stage[_Row], units: Sequence[Sequence[_Row]]) -> list[Outcome]:
    rows = [row for unit in units for row in unit]
    try:
        return _run_checked(stage, rows)
    except _STOPPING:
        raise
    except (Exception, SystemExit) as error:
        if len(units) == 1:
            return [_failure(error)] * len(rows)
        half = len(units) // 2
        return _bisected(stage, units[:half]) + _bisected(stage, units[half:])


def _run_checked(stage: Stage[_Row], rows: Sequence[_Row]) -> list[Outcome]:
    current_worker().expect(stage.deadline, len(rows))
    outcomes = list(stage.run(rows))
    if len(outcomes) != len(rows):
        raise StepError(
            f"{stage.name} gave {len(outcomes)} outcomes for {len(rows)} inputs",
            fix="answer each input with one Keep, Drop or Fail",
        )
    pairs = zip(rows, outcomes, strict=True)
    return [stage.check(row, _checked(stage.name, outcome)) for row, outcome in pairs]


def _checked(name: str, outcome: object) -> Outcome:
    if isinstance(outcome, Drop | Fail):
        return outcome
    if not isinstance(outcome, Keep):
        return _broken(f"{name} answered with {type(outcome).__name__}, not Keep, Drop or Fail")
    fault = _fault(outcome)
    return _broken(f"{name} {fault}") if fault else outcome


def _fault(kept: Keep) -> str:
    """Return what is wrong with a Keep; empty if nothing is."""
    if not kept.samples:
        return "kept an input as no samples; Drop needs a reason"
    ids = [sample.id for sample in kept.samples]
    for made in ids:
        if not made or made.encode("utf-8", "ignore").decode("utf-8") != made:
            return f"gave an id that cannot be stored: {made!r}"
    if len(set(ids)) != len(ids):
        return "gave one id to several samples"
    for attempt in kept.attempts:
        if attempt.chosen and attempt.sample.id not in ids:
            return f"chose an attempt that it did not keep: {attempt.sample.id!r}"
    return ""


def _with_parent(made: EditSample, sample: EditSample) -> EditSample:
    if made.id == sample.id or made.parent_id not in (None, sample.parent_id):
        return made
    return replace(made, parent_id=sample.id)


def _absent(sample: EditSample, names: frozenset[str]) -> str | None:
    """Return the first of the named fields that is None or empty, if any."""
    return next((name for name in sorted(names) if not _present(getattr(sample, name))), None)


def _present(value: object) -> bool:
    return value is not None and value not in ("", {}, ())


def _broken(message: str) -> Fail:
    return Fail("contract", FailureClass.BUG, message)


def _failure(error: BaseException) -> Fail:
    if isinstance(error, ImageError):
        return Fail(error.code, FailureClass.PERMANENT, str(error))
    if isinstance(error, StepError):
        return _broken(str(error))
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    kind = type(error).__name__
    return Fail(kind, FailureClass.BUG, f"{kind}: {error}{place}")
