"""The entry `retry` of a recipe's build: steps that run again for the samples that they drop.

- retry:
times: 2
steps:
- {kind: edit, editor: EDITOR}
- {kind: verify, judge: JUDGE}
"""

from __future__ import annotations

from pydantic import Field, field_validator

from editloop.kernel.tasks import StepSpec
from editloop.loop.entries import RETRY, Entry
from editloop.settings import Settings, validate

__all__ = ["RetryForm", "unrolled"]

_NOT_WITHIN = ("gather", RETRY)


class RetryForm(Settings):
    """The steps, and how many times more a sample goes through them if it is dropped."""

    times: int = Field(ge=1, le=100)
    steps: tuple[Entry, ...] = Field(min_length=1)

    @field_validator("steps")
    @classmethod
    def _can_be_tried_again(cls, steps: tuple[Entry, ...]) -> tuple[Entry, ...]:
        names = [step.name for step in steps]
        for step in steps:
            if step.kind in _NOT_WITHIN:
                raise ValueError(f"{step.kind!r} cannot be within a retry")
            if names.count(step.name) > 1:
                raise ValueError(f"two steps are named {step.name!r}: give a `name`")
        return steps


def unrolled(entry: Entry) -> list[StepSpec]:
    """Return the steps of an entry of the build; a retry's are those of all its tries."""
    if entry.kind != RETRY:
        return [StepSpec("build", entry.name, entry.kind, entry.own)]
    form = validate(RetryForm, entry.own, where=f"build {entry.name}")
    tries = form.times + 1
    return [
        spec
        for number in range(1, tries + 1)
        for spec in [
            *(_step(entry.name, number, step) for step in form.steps),
            _end(entry.name, number, last=number == tries),
        ]
    ]


def _step(name: str, number: int, step: Entry) -> StepSpec:
    own = {"name": step.name, "kind": step.kind, "settings": step.own}
    return StepSpec(
        "build", f"{name}.{number}.{step.name}", "retry-step", {"step": own, "number": number}
    )


def _end(name: str, number: int, *, last: bool) -> StepSpec:
    return StepSpec("build", f"{name}.{number}.end", "retry-end", {"number": number, "last": last})
