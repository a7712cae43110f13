"""Changes to a judge's SPEC: settings for it and its panel, a ledger, rounds of repeats."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from editloop.judges.panel import members_of
from editloop.registry import Spec, settings_of
from editloop.schema import Json

__all__ = ["in_round", "keeping_in", "ledger_of", "settled"]


def keeping_in(spec: Spec, ledger: Path) -> Spec:
    """Return the judge with this ledger, if it uses one and its SPEC names no other.

    A calibration measures the current judge; an older ledger would return its earlier replies.
    """
    return settled(spec, {"ledger": str(ledger), "run": "calibration"})


def settled(spec: Spec, settings: Mapping[str, Json]) -> Spec:
    """Return the judge and its panel with these settings, where they exist and are not set."""
    own = {key: value for key, value in settings.items() if key in _takes(spec)}
    members = [settled(member, settings) for member in members_of(spec)]
    return _with(replace(spec, settings={**own, **spec.settings}), members)


def ledger_of(spec: Spec) -> str | None:
    """Return the ledger that a SPEC names for the judge or a panel member, or None."""
    named = [spec.settings.get("ledger"), *map(ledger_of, members_of(spec))]
    return next((str(each) for each in named if each is not None), None)


def in_round(spec: Spec, number: int) -> Spec:
    """Return the judge for a round of repeats; unchanged if it has no setting `repeat`."""
    takes, members = _takes(spec), members_of(spec)
    if "repeat" in takes:
        first = int(spec.settings.get("repeat", 0))
        return replace(spec, settings={**spec.settings, "repeat": first + number})
    step = int(spec.settings.get("repeats", 1))
    return _with(spec, [in_round(member, number * step) for member in members])


def _takes(spec: Spec) -> set[str]:
    """Return the names of a judge's settings; a user's own class may have none."""
    return set(settings_of("judge", spec.kind).model_fields)


def _with(spec: Spec, members: list[Spec]) -> Spec:
    if not members:
        return spec
    listed = [{"kind": each.kind, "name": each.name, **each.settings} for each in members]
    return replace(spec, settings={**spec.settings, "judges": listed})
