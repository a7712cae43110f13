"""A judge's preferences between editors, as the comparison's page shows them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from editloop.evaluation.comparing.gaps import Gap, Gaps
from editloop.evaluation.comparing.preferring import Preferences
from editloop.showing.tables import Column

__all__ = ["Preferred", "preferred"]

_HEADS = ("first preferred", "first wins", "second wins", "ties", "by place")


@dataclass(frozen=True, slots=True)
class Preferred:
    """A benchmark's preferences: the judge, a row for each two editors, and missing answers.

    An entry of `missing` is two editors, a number of cases without an answer, and the reason.
    """

    judge: str
    version: str
    gaps: Gaps
    missing: Sequence[tuple[str, str, int, str]]


def preferred(found: Sequence[Preferences]) -> Preferred | None:
    """Return the view of one benchmark's preferences; None where there are none."""
    if not found:
        return None
    return Preferred(
        judge=found[0].judge,
        version=found[0].version,
        gaps=Gaps(
            columns=[Column(name) for name in _HEADS],
            rows=[(each.first, each.second, list(_cells(each))) for each in found],
        ),
        missing=[row for each in found for row in _missing(each)],
    )


def _cells(found: Preferences) -> Iterator[Gap]:
    yield _share(found)
    for count in (*found.wins, found.ties):
        yield Gap(f"{count:,}")
    yield Gap(f"{found.first_place:,} + {found.second_place:,}")


def _share(found: Preferences) -> Gap:
    """Return the share of cases in which the first is preferred, compared with one half."""
    if found.share is None:
        return Gap("–")
    low, at, high = (found.share[key] for key in ("low", "mean", "high"))
    count = found.share["count"]
    return Gap(
        text=f"{at:.0%}",
        outcome="noise" if low <= 0.5 <= high else "better" if at > 0.5 else "worse",
        interval=f"{low:.0%} to {high:.0%}",
        left=round(100 * low, 1),
        right=round(100 * high, 1),
        at=round(100 * at, 1),
        counts="1 case" if count == 1 else f"{count:,} cases",
        whole=False,
    )


def _missing(found: Preferences) -> Iterator[tuple[str, str, int, str]]:
    for what, reasons in (("unscored", found.unscored), ("not asked", found.left_out)):
        for reason, count in reasons.items():
            yield found.first, found.second, count, f"{what}: {reason}"
