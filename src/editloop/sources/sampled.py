"""A random sample of an index's edits, drawn as the source `layout` draws its."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

from editloop.sources.entries import Entry, Index, Problem
from editloop.sources.layout_sample import draw
from editloop.sources.listed import ListedIndex

__all__ = ["SampledIndex"]


class SampledIndex:
    """An index of `size` edits of another: whole sessions, but only first turns of the last one."""

    def __init__(self, index: Index, size: int, seed: int) -> None:
        self._index = index
        self._size = size
        self._seed = seed

    @property
    def name(self) -> str:
        return self._index.name

    @property
    def version(self) -> str:
        return f"{self._index.version}, {self._size} of seed {self._seed}"

    @property
    def folder(self) -> Path:
        return self._index.folder

    def listings(self) -> Sequence[Path]:
        return self._index.listings()

    def tables(self) -> Sequence[Path]:
        return self._index.tables()

    def sessions(self) -> Iterator[Sequence[Entry] | Problem]:
        for at, entries in enumerate(self._index.sessions()):
            if isinstance(entries, Problem):
                yield entries
            elif at in self._turns:
                yield entries[: self._turns[at]]

    @cached_property
    def _turns(self) -> dict[int, int]:
        """The number of turns to take, by the session's number."""
        index = self._index
        light = index.without_pictures() if isinstance(index, ListedIndex) else index
        return draw((("", entries) for entries in light.sessions()), self._seed, self._size)
