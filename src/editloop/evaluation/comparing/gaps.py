"""Rows of differences between two editors, each drawn with its interval around "no gap"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from editloop.showing.tables import Column

__all__ = ["Gap", "Gaps"]


@dataclass(frozen=True, slots=True)
class Gap:
    """A number with its interval; `left`, `right` and `at` are in per cent, and 50 means no gap."""

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
    """A table with one row per pair of editors and one gap per column."""

    columns: Sequence[Column]
    rows: Sequence[tuple[str, str, Sequence[Gap]]]
