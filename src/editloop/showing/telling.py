"""What results say of an editor besides its numbers, in words for tables and pages."""

from __future__ import annotations

from collections.abc import Mapping

from editloop.schema import Json

__all__ = ["told_departures", "told_leftovers"]


def told_departures(departs: Mapping[str, Json]) -> str:
    """Departures from a card in words: `steps 20 (card 100)`; nothing where there are none."""
    return ", ".join(
        f"{name} {each['given']} (card {each['card']})" for name, each in departs.items()
    )


def told_leftovers(found: Mapping[str, Json], names: int | None = None) -> str:
    """Leftover pictures in words, some of them by name: all that results name, if None."""
    named = found["first"][:names]
    rest = found["count"] - len(named)
    more = f" and {rest:,} more" if rest else ""
    count = "1 picture" if found["count"] == 1 else f"{found['count']:,} pictures"
    return f"{count} that no turn asks for: {', '.join(named)}{more}"
