"""Groups of samples that a step processes together, such as the candidates of one prompt.

A step with a method `group(sample)` names each sample's group. The rows of a group are one unit:
batches, bisection, retries and the search for an input that kills workers never tear it apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

from editloop.errors import StepError

__all__ = ["Unit", "gathers", "group_names", "grouping", "packed", "units_of"]

Unit: TypeAlias = list[int]  # the positions of the rows of one group, in order


def grouping(step: object) -> Callable[[Any], str] | None:
    """Return the function that names a sample's group, if the step has one."""
    found: Callable[[Any], str] | None = getattr(step, "group", None)
    return found


def gathers(step: object) -> bool:
    """Return whether a step marks the place where groups are gathered."""
    return bool(getattr(step, "gathers", False))


def group_names(group: Callable[[Any], str] | None, rows: Sequence[Any]) -> list[str]:
    """Return the group of each row; without a function, each row is a group of its own.

    Raises StepError if a group is not a text, as its samples would be torn apart.
    """
    if group is None:
        return [row.id for row in rows]
    return [_name_of(group, row) for row in rows]


def _name_of(group: Callable[[Any], str], row: Any) -> str:
    try:
        name = group(row)
    except Exception as error:
        raise StepError(f"a step cannot name the group of {row.id!r}: {error!r}") from error
    if not isinstance(name, str):
        raise StepError(
            f"a step named no group for {row.id!r}", value=repr(name), fix="return a text"
        )
    return name


def units_of(names: Sequence[str]) -> list[Unit]:
    """Return the positions of equal names, in the order of their first ones."""
    units: dict[str, Unit] = {}
    for at, name in enumerate(names):
        units.setdefault(name, []).append(at)
    return list(units.values())


def packed(units: Sequence[Unit], most: int) -> Iterator[list[Unit]]:
    """Yield batches of whole units: as many as have at most `most` rows, but at least one."""
    batch: list[Unit] = []
    rows = 0
    for unit in units:
        if batch and rows + len(unit) > most:
            yield batch
            batch, rows = [], 0
        batch.append(unit)
        rows += len(unit)
    if batch:
        yield batch
