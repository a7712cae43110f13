"""Notices of an evaluation in words: departures from a protocol's card, unusual pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from editloop.schema import Json

__all__ = ["told_departures", "told_notices"]

# How each list of notices in `results.json` is told, of one and of several.
_TOLD = {
    "leftovers": ("picture not used by any turn", "pictures not used by any turn"),
    "unusual": (
        "recorded picture unlike its source or read in a way of its own",
        "recorded pictures unlike their source or read in a way of their own",
    ),
    "read_differently": (
        'picture of the data that `convert("RGB")` alone would show differently',
        'pictures of the data that `convert("RGB")` alone would show differently',
    ),
    "same_captions": (
        "local caption equal to the global one, which CLIP-T then measures",
        "local captions equal to the global ones, which CLIP-T then measures",
    ),
}


def told_departures(departs: Mapping[str, Json]) -> str:
    """Return departures from a card in words, `steps 20 (card 100)`; "" if there are none."""
    return ", ".join(
        f"{name} {each['given']} (card {each['card']})" for name, each in departs.items()
    )


def told_notices(facts: Mapping[str, Json], names: int | None = None) -> Iterator[str]:
    """Yield the lists of notices in an editor's or a benchmark's facts, each in words.

    The first `names` entries of each are named (None: all that are stored).
    """
    for key, (one, several) in _TOLD.items():
        found = facts.get(key)
        if found:
            named = found["first"][:names]
            rest = found["count"] - len(named)
            more = f" and {rest:,} more" if rest else ""
            count = f"1 {one}" if found["count"] == 1 else f"{found['count']:,} {several}"
            yield f"{count}: {', '.join(named)}{more}"
