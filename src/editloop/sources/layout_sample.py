"""Random samples of a data set's edits, and the turns of a session that can be used."""

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
    """Return a random sample of `most` edits: how many turns to take, by session number.

    The order of sampling depends only on the seed, the split and the session's name. Only the drawn
    sessions are kept in memory.
    """
    drawn: list[tuple[int, int, int]] = []  # (-key, -number, turns): the largest key first
    total = 0
    for at, (split, entries) in enumerate(sessions):
        if isinstance(entries, Problem):
            continue
        name = entries[0].sample.session or entries[0].sample.id
        key = derive_seed(seed, "sample", split, name)
        heapq.heappush(drawn, (-key, -at, len(entries)))
        total += len(entries)
        while total - drawn[0][2] >= most:
            total -= heapq.heappop(drawn)[2]
    kept = {-at: turns for _, at, turns in drawn}
    if total > most:
        kept[-drawn[0][1]] -= total - most
    return kept


def without_words(entries: Sequence[Entry]) -> list[Problem]:
    """Return a problem for each edit of a session with an empty instruction."""
    fix = "add one, or remove the edit"
    return [
        Problem(entry.where, _WORDLESS, fix, "edit")
        for entry in entries
        if not entry.sample.instruction.strip()
    ]


def fault_of(entries: Sequence[Entry], at: int) -> tuple[str, str] | None:
    """Return (code, reason) if a turn cannot be used: faulty, or an earlier turn is missing."""
    sample = entries[at].sample
    if not sample.instruction.strip():
        return "no-instruction", _WORDLESS
    turns = [entry.sample.turn for entry in entries[: at + 1]]
    if sample.session is not None and turns != list(range(1, at + 2)):
        numbers = ", ".join(map(str, turns))
        return "session-broken", f"the turns of its session up to it are {numbers}"
    return None
