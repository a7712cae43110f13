"""The order of a table's sessions: turns that are interleaved, reversed or counted from 0."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace

from editloop.sources.entries import Entry, Problem

__all__ = ["in_order"]


def in_order(
    entries: Callable[[], Iterator[Entry | Problem]],
    listed: Callable[[], Iterator[Entry | Problem]],
) -> Iterator[Entry | Problem]:
    """Yield entries with each session's turns together, in order, and counted from 1.

    `listed` yields the same entries without pictures. A session is yielded when its last turn has
    been read, so only the turns of unfinished sessions are in memory. If the turns of any session
    begin with 0, those of all do.
    """
    counts: Counter[str] = Counter()
    lowest = 1
    for item in listed():
        if isinstance(item, Entry) and item.sample.session is not None:
            counts[item.sample.session] += 1
            lowest = min(lowest, item.sample.turn)
    unfinished: defaultdict[str, list[Entry]] = defaultdict(list)
    for item in entries():
        session = item.sample.session if isinstance(item, Entry) else None
        if isinstance(item, Problem) or session is None:
            yield item
            continue
        turns = unfinished[session]
        turns.append(_from_one(item, 1 - lowest))
        if len(turns) >= counts[session]:
            yield from sorted(unfinished.pop(session), key=lambda entry: entry.sample.turn)
    for turns in unfinished.values():
        yield from turns


def _from_one(entry: Entry, more: int) -> Entry:
    """Return an entry with `more` added to its turn, and to an id that was made of it."""
    if not more:
        return entry
    sample = entry.sample
    made, turn = f"{sample.session}/{sample.turn}", sample.turn + more
    name = f"{sample.session}/{turn}" if sample.id == made else sample.id
    parent = f"{sample.session}/{turn - 1}" if sample.parent_id is not None else None
    place = None if entry.place is None else replace(entry.place, turn=turn)
    moved = replace(sample, id=name, turn=turn, parent_id=parent)
    return replace(entry, sample=moved, place=place)
