"""An index that is read sequentially: consecutive entries of one session form the session."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from editloop.schema import Json
from editloop.sources.entries import Entry, Place, Problem, read_index

__all__ = ["ListedIndex", "Rows", "mapped_index"]


@dataclass(frozen=True, slots=True)
class Rows:
    """Access to tables that contain pictures: list rows without pictures, and read single rows.

    `listed` yields the same entries as the index, each with its place and with placeholders for its
    pictures; `read` builds the full entry from the values at a place, for which the pictures and
    lists in other columns than `columns` (None: all) need not be read.
    """

    listed: Callable[[], Iterator[Entry | Problem]]
    read: Callable[[Place, Mapping[str, Json]], Entry | Problem]
    columns: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class ListedIndex:
    """An `entries.Index` over the entries that `entries` yields, each time from the start.

    Entries of one session must be consecutive, with turns counted from 1.
    """

    name: str
    version: str
    folder: Path
    entries: Callable[[], Iterator[Entry | Problem]]
    index_files: Sequence[Path] = ()
    table_files: Sequence[Path] = ()
    rows: Rows | None = None

    def without_pictures(self) -> ListedIndex:
        """Return the same index with placeholders for the pictures in tables."""
        return self if self.rows is None else replace(self, entries=self.rows.listed)

    def listings(self) -> Sequence[Path]:
        return self.index_files

    def tables(self) -> Sequence[Path]:
        return self.table_files

    def sessions(self) -> Iterator[Sequence[Entry] | Problem]:
        seen: set[str] = set()
        held: list[Entry] = []
        for item in self.entries():
            if isinstance(item, Problem):
                yield item
                continue
            if held and not _is_next(held[-1], item):
                yield from _faults(held, seen)
                yield held
                held = []
            held.append(item)
        if held:
            yield from _faults(held, seen)
            yield held


def mapped_index(
    name: str, listing: Path, edits: Callable[[str, Json], Iterator[Entry | Problem]]
) -> ListedIndex:
    """Return the index of a data set listed in one JSON file; `edits` reads a key and its value."""

    def entries() -> Iterator[Entry | Problem]:
        listed = read_index(listing)
        if isinstance(listed, Problem):
            yield listed
        else:
            for key, value in listed.items():
                yield from edits(key, value)

    there = [listing] if listing.is_file() else []
    return ListedIndex(name, "1", listing.parent, entries, index_files=there)


def _is_next(before: Entry, after: Entry) -> bool:
    session = after.sample.session
    return session is not None and session == before.sample.session


def _faults(entries: Sequence[Entry], seen: set[str]) -> Iterator[Problem]:
    """Yield the problems of a session's turns, and add the session to `seen`."""
    where, session = entries[0].where, entries[0].sample.session
    if session is None:
        return
    if session in seen:
        cause = f"the session {session!r} continues after another session"
        yield Problem(where, cause, "make its turns consecutive", "session")
    seen.add(session)
    turns = [entry.sample.turn for entry in entries]
    if turns != list(range(1, len(turns) + 1)):
        cause = f"the turns of session {session!r} are {', '.join(map(str, turns))}"
        yield Problem(where, cause, "list every turn from 1 on, in order", "session")
