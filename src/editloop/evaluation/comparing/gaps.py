"""What stands between two editors, drawn: a number with its interval beside the point of no gap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from editloop.showing.tables import Column

__all__ = ["Gap", "Gaps"]


@dataclass(frozen=True, slots=True)
class Gap:
    """A number with its interval; `left`, `right` and `at` are per cent, with no gap at 50."""

    text: str
    outcome: str = ""  # better, worse or noise: of the first editor
    interval: str = ""
    left: float = 50.0
    right: float = 50.0
    at: float = 50.0
    counts: str = ""
    whole: bool = True


@dataclass(frozen=True, slots=True)
class Gaps:
    """Rows of two editors and what stands between them, under columns."""

    columns: Sequence[Column]
    rows: Sequence[tuple[str, str, Sequence[Gap]]]
