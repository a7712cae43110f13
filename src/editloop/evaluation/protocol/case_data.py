"""The cases of a protocol: its data's sessions in chunks, without the turns that the card excludes.

Workers read the pictures. The process that evaluates reads the index, and learns from them the
problems of the data, its cases and what a reader of the numbers must know.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count

from editloop.evaluation.answers.cases import Case, Chunk, UnreadCases, cases_of, grouped
from editloop.evaluation.protocol.exclusions import Exclusion, excluded
from editloop.evaluation.protocol.notices import DataNotices
from editloop.sources.entries import Entry
from editloop.sources.layouts import Layout
from editloop.sources.reading import Mapped, UnreadSession

__all__ = ["CaseData"]


@dataclass(slots=True)
class CaseData:
    """The cases of a data set, in chunks of `size` sessions; `survey` finds them.

    `left_out` counts excluded turns by reason.
    """

    layout: Layout
    exclusions: tuple[Exclusion, ...]
    size: int
    chunks: tuple[Chunk, ...] = ()
    left_out: Counter[str] = field(default_factory=Counter)
    notices: DataNotices = field(default_factory=DataNotices)

    def survey(self, mapped: Mapped) -> None:
        """Read all cases once; `mapped` is as for `Layout.problems`."""
        groups = self._groups(self.left_out)
        surveyed: Iterator[_Surveyed] = mapped(_survey, groups)
        chunks = []
        for index, found in zip(count(), surveyed):
            chunks.append(Chunk(_KIND, index, found.digests, found.cases))
            self.notices.add(found.notices)
        self.chunks = tuple(chunks)

    def read(self) -> Iterator[tuple[Chunk, UnreadCases]]:
        """Yield the chunks, each with its cases, to be read in a worker."""
        for chunk, group in zip(self.chunks, self._groups(Counter()), strict=True):
            yield chunk, UnreadCases(chunk.digests, tuple(group))
            del group

    def _groups(self, left_out: Counter[str]) -> Iterator[list[UnreadSession]]:
        included = self._included(self.layout.unread_sessions(), left_out)
        for _, _, group in grouped(included, self.size, lambda _: _KIND):
            yield group
            del group

    def _included(
        self, sessions: Iterable[UnreadSession], left_out: Counter[str]
    ) -> Iterator[UnreadSession]:
        """Yield the sessions without the turns that the card excludes and those after them."""
        for session in sessions:
            kept: list[Entry] = []
            for entry in session.entries:
                rule = excluded(entry.sample, self.exclusions)
                if rule is not None:
                    left_out[rule] += 1
                elif len(kept) + 1 == entry.sample.turn:
                    kept.append(entry)
                else:
                    left_out["an earlier turn was left out"] += 1
            if kept:
                yield replace(session, entries=tuple(kept))


_KIND = "cases"


@dataclass(frozen=True, slots=True)
class _Surveyed:
    """The digests and cases of a chunk, and the notices about it."""

    digests: tuple[str, ...]
    cases: tuple[Case, ...]
    notices: DataNotices


def _survey(sessions: Sequence[UnreadSession]) -> _Surveyed:
    notices, sequences = DataNotices(), []
    for session in sessions:
        sequences.append(session.read())
        notices.note(sequences[-1])
    return _Surveyed(*cases_of(sequences), notices)
