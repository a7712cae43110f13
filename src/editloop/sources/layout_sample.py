"""Which edits of a data set a lot draws, and which of a session can be used."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence

from editloop.runtime.seeding import derive_seed
from editloop.sources.entries import Entry, Problem

__all__ = ["draw", "fault_of", "without_words"]

_WORDLESS = "the instruction is empty"


def draw(
    sessions: Iterator[tuple[str, Sequence[Entry] | Problem]], seed: int, most: int
) -> dict[int, int]:
    """How many turns to take of which sessions (by their number): `most` in all, by lot.

    The lot depends on the seed and the session's name alone. Only the drawn ones are in memory.
    """
    drawn: list[tuple[int, int, int]] = []  # (-lot, -number, turns): the worst lot first
    total = 0
    for at, (split, entries) in enumerate(sessions):
        if isinstance(entries, Problem):
            continue
        name = entries[0].sample.session or entries[0].sample.id
        lot = derive_seed(seed, "sample", split, name)
        heapq.heappush(drawn, (-lot, -at, len(entries)))
        total += len(entries)
        while total - drawn[0][2] >= most:
            total -= heapq.heappop(drawn)[2]
    kept = {-at: turns for _, at, turns in drawn}
    if total > most:
        kept[-drawn[0][1]] -= total - most
    return kept


def without_words(entries: Sequence[Entry]) -> list[Problem]:
    """The edits of a session that nobody described."""
    fix = "give it one, or leave it out"
    return [
        Problem(entry.where, _WORDLESS, fix, "edit")
        for entry in entries
        if not entry.sample.instruction.strip()
    ]


def fault_of(entries: Sequence[Entry], at: int) -> tuple[str, str] | None:
    """Why a turn cannot be used (a code and words): it or an earlier one is faulty or missing."""
    sample = entries[at].sample
    if not sample.instruction.strip():
        return "no-instruction", _WORDLESS
    turns = [entry.sample.turn for entry in entries[: at + 1]]
    if sample.session is not None and turns != list(range(1, at + 2)):
        told = ", ".join(map(str, turns))
        return "session-broken", f"the turns of its session up to it are {told}"
    return None
