"""The judge that a SPEC names, as a calibration asks it: its own ledger, and in several rounds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from editloop.judges.panel import members_of
from editloop.registry import Spec, load
from editloop.schema import Json

__all__ = ["in_round", "keeping_in", "ledger_of"]


def keeping_in(spec: Spec, ledger: Path) -> Spec:
    """The judge with its replies in a ledger, if it keeps any and its SPEC names no other.

    A calibration says how a judge is now: an older ledger would answer for the judge it was.
    """
    return _settled(spec, {"ledger": str(ledger), "run": "calibration"})


def ledger_of(spec: Spec) -> str | None:
    """The ledger that a SPEC names, for the judge or one of its panel."""
    named = [spec.settings.get("ledger"), *map(ledger_of, members_of(spec))]
    return next((str(each) for each in named if each is not None), None)


def in_round(spec: Spec, number: int) -> Spec:
    """The judge as it is asked for another time; one that says the same each time is as it was."""
    takes, members = _takes(spec), members_of(spec)
    if "repeat" in takes:
        first = int(spec.settings.get("repeat", 0))
        return replace(spec, settings={**spec.settings, "repeat": first + number})
    step = int(spec.settings.get("repeats", 1))
    return _with(spec, [in_round(member, number * step) for member in members])


def _settled(spec: Spec, settings: dict[str, Json]) -> Spec:
    """The judge, and all of its panel, with settings that they take and that are not set."""
    own = {key: value for key, value in settings.items() if key in _takes(spec)}
    members = [_settled(member, settings) for member in members_of(spec)]
    return _with(replace(spec, settings={**own, **spec.settings}), members)


def _takes(spec: Spec) -> set[str]:
    """The names of the settings that a judge takes; a class of a user's own may have none."""
    settings = getattr(load("judge", spec.kind), "Settings", None)
    return set() if settings is None else set(settings.model_fields)


def _with(spec: Spec, members: list[Spec]) -> Spec:
    if not members:
        return spec
    listed = [{"kind": each.kind, "name": each.name, **each.settings} for each in members]
    return replace(spec, settings={**spec.settings, "judges": listed})
