"""Reading shared by all layouts: an index's sessions with pictures, its problems, its digest."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from editloop.errors import ImageError, RecipeError, StoreError
from editloop.images.codec import is_plain
from editloop.images.masks import BY_CONTENT, MaskReading
from editloop.schema import EditSample, Image, Json, canonical_json
from editloop.sources.checks import check_session
from editloop.sources.entries import REFERENCE, Entry, Index, Picture, Problem
from editloop.sources.files import read_file, relative, size_and_time
from editloop.sources.layout_masks import settled
from editloop.storage.files import explained

__all__ = ["IndexedLayout", "Mapped", "UnreadSession", "refuse"]

# Like the built-in `map`: yields the values of a function in order, perhaps from processes.
Mapped: TypeAlias = Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[Any]]

_RENAME = "rename it, or number the rows instead: table with --map id="
_SHOWN = 5  # problems that an error lists
_CHECKED, _BYTES = 16, 64_000_000  # sessions, and bytes of a table, that are checked at a time


@dataclass(frozen=True, slots=True)
class UnreadSession:
    """A session as its index lists it; whoever needs its pictures reads them.

    It is picklable, and small where pictures are files. `reading` as of `IndexedLayout`.
    """

    entries: tuple[Entry, ...]
    reading: MaskReading | None

    def read(self) -> list[EditSample]:
        """Return the session's samples; each file is read once."""
        read: dict[Picture, Image] = {}
        return [_filled(entry, read, self.reading) for entry in self.entries]


class IndexedLayout:
    """The `layouts.Layout` of an index.

    `reading` decides where its masks allow editing; with None they are not read.
    """

    def __init__(self, index: Index, reading: MaskReading | None = BY_CONTENT) -> None:
        self._index = index
        self._reading = reading
        self._problems: list[Problem] | None = None
        self._near: list[str] = []
        self._faulty: set[int] = set()  # numbers of the sessions with problems

    @property
    def name(self) -> str:
        return self._index.name

    @property
    def version(self) -> str:
        return self._index.version

    def sessions(self) -> Iterator[list[EditSample]]:
        """Yield the sessions in order; each file is read once per session.

        All problems are searched for once, before the first session; RecipeError if there are any.
        """
        return (session.read() for session in self.unread_sessions())

    def unread_sessions(self) -> Iterator[UnreadSession]:
        """Yield the sessions as `sessions` does, without reading their pictures."""
        refuse(self.problems(), self._index.folder)
        for entries in self._index.sessions():
            if isinstance(entries, Problem):  # the data changed since it was checked
                refuse([entries], self._index.folder)
            else:
                yield self._unread(entries)

    def sound_sessions(self) -> Iterator[list[EditSample]]:
        """Yield the sessions without a problem.

        RecipeError if there is a problem of the whole data set, or no session without one.
        """
        problems, folder = self.problems(), self._index.folder
        refuse([each for each in problems if each.costs == "set"], folder)
        some = False
        for at, entries in enumerate(self._index.sessions()):
            if at not in self._faulty and not isinstance(entries, Problem):
                some = True
                yield self._unread(entries).read()
        if not some:
            refuse(problems, folder)

    def find(self, ids: Collection[str]) -> Iterator[list[EditSample]]:
        """Yield the sessions that contain one of these ids, in order, reading only their pictures.

        The data set is not checked first; RecipeError if the index has a problem on the way.
        """
        wanted = set(ids)
        for entries in self._index.sessions() if wanted else ():
            if isinstance(entries, Problem):
                refuse([entries], self._index.folder)
            elif found := wanted & {entry.sample.id for entry in entries}:
                yield self._unread(entries).read()
                wanted -= found
                if not wanted:
                    return

    def problems(self, mapped: Mapped = map) -> list[Problem]:
        """Return every problem in the data set's order; searched for once, then cached.

        `mapped` checks groups of sessions: here, or in processes (`ChunkRunner.map`).
        """
        if self._problems is None:
            with explained("check a data set", self._index.folder):
                found = list(_problems(self._index, self._reading, self._faulty, mapped))
            self._problems = [each for each in found if each.costs != "nothing"]
            told = (each for each in found if each.costs == "nothing")
            self._near = [f"{each.where}: {each.cause}" for each in told]
        return list(self._problems)

    def near_shapes(self) -> list[str]:
        """Return each picture whose shape differs a little from its source's (`images.shapes`)."""
        self.problems()
        return list(self._near)

    def with_problems(self) -> Iterator[tuple[list[EditSample], list[Problem]]]:
        """Yield every session with its problems; one that cannot be read has no samples."""
        for entries in self._index.sessions():
            if isinstance(entries, Problem):
                yield [], [entries]
                continue
            found = check_session(entries, self._index.folder, self._reading)
            problems = [each for each in found if each.costs != "nothing"]
            try:
                yield self._unread(entries).read(), problems
            except (ImageError, StoreError):
                yield [], problems

    def _unread(self, entries: Sequence[Entry]) -> UnreadSession:
        return UnreadSession(tuple(entries), self._reading)

    def digest(self) -> str:
        """Return a SHA-256 that changes when the data set does; no picture is opened for it."""
        index = self._index
        pictures = () if index.tables() else _files(index)
        return _digest(index.folder, index.listings(), [*index.tables(), *pictures])


def refuse(problems: Sequence[Problem], folder: Path) -> None:
    """Raise a RecipeError that counts the problems and names the first few, if there are any."""
    if not problems:
        return
    shown = "".join(f"\n  {problem}" for problem in problems[:_SHOWN])
    more = len(problems) - _SHOWN
    rest = f"\n  and {more} more" if more > 0 else ""
    raise RecipeError(
        f"{len(problems)} {'problem' if len(problems) == 1 else 'problems'} in a data set",
        value=f"{folder}{shown}{rest}",
        fix="correct the data; no edit is skipped",
    )


def _digest(folder: Path, listings: Sequence[Path], stamped: Sequence[Path]) -> str:
    """Return the SHA-256 of the listings' content and of the other files' sizes and times."""
    facts: list[Json] = [[relative(path, folder), _content(path)] for path in sorted(listings)]
    for path in sorted(set(stamped)):
        facts += [[relative(path, folder), *(size_and_time(path) or (None,))]]
    return hashlib.sha256(canonical_json(facts).encode("utf-8", "surrogateescape")).hexdigest()


@dataclass(frozen=True, slots=True)
class _Checked:
    """The places and ids of a session's edits, and its own problems."""

    ids: tuple[tuple[str, str], ...]
    problems: tuple[Problem, ...]


def _problems(
    index: Index, reading: MaskReading | None, faulty: set[int], mapped: Mapped
) -> Iterator[Problem]:
    """Yield all problems, and add the numbers of the sessions that cannot be used to `faulty`."""
    seen: set[str] = set()
    at = -1
    check = partial(_check_sessions, folder=index.folder, reading=reading)
    checked = (each for group in mapped(check, _groups(index.sessions())) for each in group)
    for at, session in enumerate(checked):
        for problem in (*_twice_used(session, seen), *session.problems):
            if problem.costs != "nothing":
                faulty.add(at)
            yield problem
    if at < 0:
        yield Problem(str(index.folder), "the data set contains no edit", "choose another folder")


def _groups(
    sessions: Iterator[Sequence[Entry] | Problem],
) -> Iterator[list[Sequence[Entry] | Problem]]:
    """Yield the sessions in groups of a bounded size; a group is not kept here."""
    group: list[Sequence[Entry] | Problem] = []
    held = 0
    for session in sessions:
        group.append(session)
        held += 0 if isinstance(session, Problem) else sum(map(_stored_bytes, session))
        if len(group) == _CHECKED or held > _BYTES:
            yield group
            group, held = [], 0
    if group:
        yield group


def _stored_bytes(entry: Entry) -> int:
    return sum(len(each.bytes) for each in entry.pictures.values() if isinstance(each, Image))


def _check_sessions(
    sessions: Sequence[Sequence[Entry] | Problem], *, folder: Path, reading: MaskReading | None
) -> list[_Checked]:
    return [
        _Checked((), (entries,))
        if isinstance(entries, Problem)
        else _Checked(
            tuple((entry.where, entry.sample.id) for entry in entries),
            tuple(check_session(entries, folder, reading)),
        )
        for entries in sessions
    ]


def _twice_used(session: _Checked, seen: set[str]) -> Iterator[Problem]:
    for where, name in session.ids:
        if name in seen:
            yield Problem(where, f"the id {name!r} is used twice", _RENAME, "edit", "id-twice")
        seen.add(name)


def _filled(entry: Entry, read: dict[Picture, Image], reading: MaskReading | None) -> EditSample:
    """Return the entry's sample with its pictures; `read` caches the pictures that were read."""
    images = {name: _image(picture, read) for name, picture in entry.pictures.items()}
    source, mask = images["source"], images.get("mask")
    unread = reading is None or (reading == BY_CONTENT and is_plain(source.bytes))
    if mask is not None and reading is not None and not unread:
        mask = _settled(mask, source, reading, entry)
    references = tuple(image for name, image in images.items() if name.startswith(REFERENCE))
    return replace(
        entry.sample, source=source, target=images.get("target"), mask=mask, references=references
    )


def _settled(mask: Image, source: Image, reading: MaskReading, entry: Entry) -> Image:
    try:
        return settled(mask, source, reading)[0]
    except ImageError as error:
        raise ImageError(error.code, error.cause, value=entry.sample.id, fix=error.fix) from error


def _image(picture: Picture, read: dict[Picture, Image]) -> Image:
    if picture not in read:
        if isinstance(picture, Image):
            read[picture] = picture
        else:
            with explained("read a data set's picture", picture):
                read[picture] = Image(read_file(picture), picture.name)
    return read[picture]


def _files(index: Index) -> list[Path]:
    return [
        picture
        for entries in index.sessions()
        if not isinstance(entries, Problem)
        for entry in entries
        for picture in entry.pictures.values()
        if isinstance(picture, Path)
    ]


def _content(path: Path) -> str:
    with explained("read a data set's index", path):
        return hashlib.sha256(read_file(path)).hexdigest()
