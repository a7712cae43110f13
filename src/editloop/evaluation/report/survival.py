"""The survival curve of a build: the share of the samples that was left after each loss."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from editloop.errors import EditLoopError
from editloop.registry import create
from editloop.schema import Json

__all__ = ["Survivors", "survival"]

_REASONS = 12  # rows of one step; its other reasons are together in one more row


@dataclass(frozen=True, slots=True)
class Survivors:
    """The samples left after a loss, and their share of all in per cent."""

    step: str
    lost: int
    reason: str
    left: int
    share: float


def survival(build: Mapping[str, Json], recipe: Mapping[str, Json]) -> list[Survivors]:
    """Return what was left after each step and reason, in the recipe's order.

    Samples are counted where they end: in the data, dropped or quarantined. A step that makes
    several samples of one thus counts the one if it is lost before, and each of the several after.
    """
    losses = _losses(build.get("by_step", {}))
    steps = [part for key in ("sources", "build", "judge") for part in recipe.get(key, ())]
    named = {part["name"]: part for part in steps}
    order = [*(name for name in named if name in losses), *sorted(losses.keys() - named.keys())]
    total = left = build.get("out", 0) + sum(sum(each.values()) for each in losses.values())
    rows = []
    for name in order:
        for reason, lost in _rows(losses[name], _in_order(named.get(name, {}))):
            left -= lost
            rows.append(Survivors(name, lost, reason, left, round(100 * left / total, 1)))
    return [Survivors("", 0, "all samples", total, 100.0), *rows] if rows else []


def _losses(by_step: Mapping[str, Json]) -> dict[str, dict[str, int]]:
    """Return the counts of each step by reason or cause."""
    found: dict[str, dict[str, int]] = {}
    for what, steps in by_step.items():
        for step, counts in steps.items():
            for reason, count in counts.items():
                text = reason if what == "dropped" else f"{what}: {reason}"
                found.setdefault(step, {})[text] = count
    return found


def _rows(counts: Mapping[str, int], order: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Yield reasons with their counts: the ones in `order` first, then the most frequent."""
    places = {reason: at for at, reason in enumerate(order)}
    ranked = sorted(counts, key=lambda each: (places.get(each, len(places)), -counts[each], each))
    yield from ((reason, counts[reason]) for reason in ranked[:_REASONS])
    if rest := ranked[_REASONS:]:
        yield f"{len(rest)} other reasons", sum(counts[reason] for reason in rest)


def _in_order(part: Mapping[str, Json]) -> Sequence[str]:
    """Return the reasons of a filter in the order in which it checks its rules."""
    if part.get("kind") != "filter":
        return ()
    settings = {key: value for key, value in part.items() if key not in ("kind", "name")}
    try:
        reasons: Sequence[str] = create("build", "filter", settings).reasons
    except EditLoopError:  # a metric's weights, or a user's own class, are not on this machine
        return ()
    return reasons
