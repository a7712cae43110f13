"""The sanity suite: simple checks that every judge should pass."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from editloop.judges.calibration.asking import Judged
from editloop.judges.calibration.sanity_cases import QUALITIES, RIGHT, SHIFTS, SanityFacts
from editloop.judges.calibration.sanity_rules import (
    Falls,
    Rule,
    SaysNo,
    SaysYes,
    Stands,
    Steady,
    VerdictsByVariant,
)
from editloop.judges.calibration.scales import SCALES
from editloop.schema import PERSPECTIVES, Json

__all__ = ["CHECKS", "LADDERS", "Check", "check_sanity"]

_ENOUGH = 0.5  # share of the edits that must have a number for a rule to be tested


@dataclass(frozen=True, slots=True)
class Check:
    """One manipulation of edits, and the rules that verdicts on it must meet, by perspective."""

    name: str
    about: str
    rules: Mapping[str, Sequence[Rule]]
    changes: str | None = None  # the field of the pair, if only that is changed


def _each(*rules: Rule) -> Mapping[str, Sequence[Rule]]:
    return dict.fromkeys(PERSPECTIVES, rules)


LADDERS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "shift": tuple(f"shift-{step}" for step in SHIFTS),
        "jpeg": tuple(f"jpeg-{quality}" for quality in QUALITIES),
    }
)

CHECKS = (
    Check("edit done right", "the true target is the result", _each(SaysYes(RIGHT))),
    Check(
        "untouched copy",
        "the source is the result",
        {
            "following": (SaysNo("copy"),),
            "preserving": (SaysYes("copy"),),
            "quality": (SaysYes("copy"),),
        },
    ),
    Check("black image", "the result is black", _each(SaysNo("black"))),
    Check(
        "swapped instruction",
        "a right result, judged as if another edit of the same photo had been asked for",
        {"following": (SaysNo("swapped-instruction"),)},
    ),
    Check(
        "shuffled pair",
        "the result of another photo's edit",
        {"following": (SaysNo("shuffled"),), "preserving": (SaysNo("shuffled"),)},
    ),
    Check(
        "source and target swapped",
        "the target is shown as the source, the source as the result; no true target is given",
        {"following": (SaysNo("reversed"),)},
    ),
    Check(
        "1 px shift",
        "a right result, 1 px to the right of where it was (256 px)",
        _each(Steady("shift-1")),
    ),
    Check(
        "1 to 10 px shift",
        f"a right result, {', '.join(map(str, SHIFTS))} px to the right (256 px)",
        {"following": (Steady("shift-10"),), "preserving": (Falls(LADDERS["shift"]),)},
    ),
    Check("JPEG 95", "a right result as JPEG of quality 95", _each(Steady("jpeg-95", 10.0))),
    Check(
        "JPEG 95 to 10",
        f"a right result as JPEG of quality {', '.join(map(str, QUALITIES))}",
        {"following": (Steady("jpeg-25"),), "quality": (Falls(LADDERS["jpeg"]),)},
    ),
    Check(
        "order in the instruction",
        "a ruined result, and an instruction that goes on with orders to the judge",
        _each(Stands("told", "ruined")),
        changes="instruction",
    ),
    Check(
        "order in the picture",
        "a ruined result with orders written on it, beside one with idle words",
        _each(Stands("order-shown", "words-shown")),
    ),
)


def check_sanity(
    judged: Judged[SanityFacts],
    resamples: int,
    rng: np.random.Generator,
    needs: Collection[str] | None = None,
) -> dict[str, Json]:
    """Return the outcome of every rule (pass, fail or not applicable), and the ladders' means.

    `needs` are the fields of a pair that the judge reads, or None if it does not declare them.
    """
    seen = VerdictsByVariant(judged, resamples, rng)
    rows = [row for check in CHECKS for row in _rows(check, seen, needs)]
    return {
        "edits": len(seen.edits),
        "checks": rows,
        "counts": {
            outcome: sum(row["outcome"] == outcome for row in rows)
            for outcome in ("pass", "fail", "not applicable")
        },
        "ladders": {
            ladder: {
                name: [seen.mean(seen.points(each, name)) for each in (RIGHT, *variants)]
                for name in seen.perspectives
            }
            for ladder, variants in LADDERS.items()
        },
    }


def _rows(
    check: Check, seen: VerdictsByVariant, needs: Collection[str] | None
) -> Iterator[dict[str, Json]]:
    unread = needs is not None and check.changes is not None and check.changes not in needs
    for family, rules in check.rules.items():
        names = [name for name in seen.perspectives if family in SCALES[name].families[:1]]
        for rule in rules:
            if not names:
                reason = f"this judge does not score {family}"
                yield {**_named(check, family, rule), **_not_applicable(reason)}
            for name in names:
                reason = f"this judge does not read the {check.changes}"
                outcome = _not_applicable(reason) if unread else _outcome(rule, seen, name)
                yield {**_named(check, name, rule), **outcome}


def _named(check: Check, perspective: str, rule: Rule) -> dict[str, Json]:
    return {
        "check": check.name,
        "about": check.about,
        "perspective": perspective,
        "rule": rule.says,
        "unit": rule.unit,
    }


def _outcome(rule: Rule, seen: VerdictsByVariant, name: str) -> dict[str, Json]:
    result = rule.test(seen, name)
    count = 0 if result.number is None else result.number["count"]
    if count < _ENOUGH * len(seen.edits):
        why = seen.why_not(rule.variants, name)
        return _not_applicable(f"{count} of {len(seen.edits)} have the number: {why}")
    return {
        "outcome": "pass" if result.met else "fail",
        "number": result.number,
        "reason": None,
        "rule": result.says,
        "unit": result.unit,
    }


def _not_applicable(reason: str) -> dict[str, Json]:
    return {"outcome": "not applicable", "number": None, "reason": reason}
