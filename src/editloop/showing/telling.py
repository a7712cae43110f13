"""Notices about an editor in words: departures from a protocol's card, leftover pictures."""

from __future__ import annotations

from collections.abc import Mapping

from editloop.schema import Json

__all__ = ["told_departures", "told_leftovers"]


def told_departures(departs: Mapping[str, Json]) -> str:
    """Return departures from a card in words, `steps 20 (card 100)`; "" if there are none."""
    return ", ".join(
        f"{name} {each['given']} (card {each['card']})" for name, each in departs.items()
    )


def told_leftovers(found: Mapping[str, Json], names: int | None = None) -> str:
    """Return leftover pictures in words, with the first `names` of those named (None: all)."""
    named = found["first"][:names]
    rest = found["count"] - len(named)
    more = f" and {rest:,} more" if rest else ""
    count = "1 picture" if found["count"] == 1 else f"{found['count']:,} pictures"
    return f"{count} not used by any turn: {', '.join(named)}{more}"
