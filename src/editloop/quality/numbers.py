"""The table of one measure's numbers of a chunk, as it is stored: one row per sample."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa

from editloop.schema import Score, Unscored

__all__ = ["NUMBERS", "number_table"]

NUMBERS = pa.schema([("value", pa.float64()), ("reason", pa.string())])


def number_table(scores: Iterable[Score | Unscored]) -> pa.Table:
    """Return scores as a table of schema NUMBERS, in order."""
    rows = [
        {"value": None, "reason": score.reason}
        if isinstance(score, Unscored)
        else {"value": score.value, "reason": None}
        for score in scores
    ]
    return pa.Table.from_pylist(rows, schema=NUMBERS)
