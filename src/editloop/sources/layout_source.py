"""Edits that exist already, as a source: a published data set, or one that this package built.

Whole samples come in (source, target, mask, captions, scores, provenance), so that steps may filter
or judge them. Listing opens no picture. A data set whose index is faulty is refused, with all that
is wrong; a picture that cannot be read costs its own edit: it is quarantined under its `ImageError`
code (`images.CODES`), or `unreadable` (the file cannot be opened), `other-size` (it has not the
source's size), `row-faulty` (the row changed or holds no picture). An id that is asked for and that
the data set has not is quarantined as `absent`.

An item's parameters hold size and modification time of its files, so that a change is noticed.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from pydantic import Field

from editloop import recipe
from editloop.errors import ImageError, RecipeError
from editloop.schema import Image, Json
from editloop.seeding import derive_seed
from editloop.sources.checks import picture_size
from editloop.sources.entries import Entry, Index, Picture, Place, Problem, read_json
from editloop.sources.files import read_file
from editloop.sources.layout_items import entry_in, item_of, place_in
from editloop.sources.layouts import layout_of, open_index, splits_of
from editloop.sources.listed import ListedIndex
from editloop.sources.reading import refuse
from editloop.sources.stored import rows_at
from editloop.steps import Fail, FailureClass, Keep, Outcome, SourceItem

__all__ = ["LayoutSettings", "LayoutSource"]

_SPLIT = "train"  # what data without splits of its own becomes
_PERMANENT = FailureClass.PERMANENT
_AGAIN = "run it again: what changed is listed anew"
_ABSENT = Fail("absent", _PERMANENT, "the data set has no edit of this id")


class LayoutSettings(recipe.Settings):
    """Which data set (a folder, from the working directory), and how much of it.

    `options` are those of the layout, such as `language`. A sample takes whole sessions by lot; of
    the last one the first turns, so that it has `sample` edits and every session is one.
    """

    path: Path
    layout: str | None = Field(default=None, description="how it is laid out (by its files)")
    options: dict[str, Json] = Field(default_factory=dict)
    split: str | None = Field(default=None, description="one of its splits, or a name for all")
    only: Path | None = Field(
        default=None, description="a JSON file whose keys or items are the ids of the edits to take"
    )
    sample: int | None = Field(default=None, ge=1, description="so many edits, by lot (all)")
    seed: int = Field(default=0, ge=0, description="of the lot")


class LayoutSource:
    """The source kind `layout`."""

    Settings = LayoutSettings
    name = "layout"
    version = "1"

    def __init__(self, settings: LayoutSettings) -> None:
        self._settings = settings
        self._folder = settings.path.expanduser()

    @property
    def parameters(self) -> Mapping[str, Json]:
        """The settings, and the layout and version that they come to."""
        layout = next(iter(self._parts.values()))
        settings = self._settings.model_dump(mode="json")
        return {**settings, "layout": layout.name, "layout_version": layout.version}

    @cached_property
    def _parts(self) -> dict[str, Index]:
        """The index of each split, under the name that it is published by."""
        settings = self._settings
        kind = settings.layout or layout_of(self._folder)
        splits = splits_of(kind, self._folder)
        asked = settings.options.get("split", settings.split)
        if asked is not None or not splits:
            options = {**settings.options, "split": asked} if splits else settings.options
            return {settings.split or asked or _SPLIT: open_index(kind, self._folder, **options)}
        return {
            split: open_index(kind, self._folder, **{**settings.options, "split": split})
            for split in splits
        }

    def items(self) -> Iterator[SourceItem]:
        """Every edit, or the sample's, in the data set's order; RecipeError if it is faulty."""
        kept = None if self._settings.sample is None else _draw(self._sessions(), self._settings)
        absent = dict.fromkeys(sorted(self._only or ()))
        problems: list[Problem] = []
        for at, (split, entries) in enumerate(self._sessions()):
            if isinstance(entries, Problem):
                problems.append(entries)
                continue
            problems += _without_words(entries)
            if problems:  # all are gathered; nothing is built of such data
                continue
            for entry in entries:
                absent.pop(entry.sample.id, None)
            for entry in entries[: None if kept is None else kept.get(at, 0)]:
                yield item_of(split, entry)
        refuse(problems, self._folder)
        for name in absent:
            yield SourceItem(name, next(iter(self._parts)), "", {"absent": True})

    @cached_property
    def _only(self) -> frozenset[str] | None:
        """The ids to take, or None for all."""
        path = self._settings.only
        if path is None:
            return None
        names = read_json(path.expanduser())
        if not isinstance(names, dict | list) or not all(isinstance(name, str) for name in names):
            cause = names.cause if isinstance(names, Problem) else "it holds no ids"
            fix = 'write {ID: ..., ...} or ["ID", ...]'
            raise RecipeError(f"a file of ids cannot be read: {cause}", value=path, fix=fix)
        return frozenset(names)

    def _sessions(self) -> Iterator[tuple[str, Sequence[Entry] | Problem]]:
        """The sessions of all splits, less what is not to be taken of them."""
        for split, index in self._parts.items():
            light = index.without_pictures() if isinstance(index, ListedIndex) else index
            for entries in light.sessions():
                if self._only is None or isinstance(entries, Problem):
                    yield split, entries
                elif taken := [entry for entry in entries if entry.sample.id in self._only]:
                    yield split, taken

    def load(self, items: Sequence[SourceItem]) -> list[Outcome]:
        """The samples of some items; each file, and each row group, is read once for all of them.

        A file is remembered for the batch only: the target of a turn is the source of the next.
        """
        rows = self._rows(items)
        read: dict[Picture, Image | Fail] = {}
        outcomes: list[Outcome] = []
        for item in items:
            if "absent" in item.parameters:
                outcomes.append(_ABSENT)
            else:
                entry = rows[item.id] if item.id in rows else entry_in(item)
                outcomes.append(_loaded(entry, read))
        return outcomes

    def _rows(self, items: Sequence[SourceItem]) -> dict[str, Entry | Problem]:
        """What the rows hold that some of the items name."""
        places: dict[tuple[str, Path], dict[int, tuple[str, Place]]] = defaultdict(dict)
        for item in items:
            place = place_in(item)
            if place is not None:
                places[item.split, place.file][place.row] = item.id, place
        found: dict[str, Entry | Problem] = {}
        for (split, path), named in places.items():
            index = self._parts[split]
            assert isinstance(index, ListedIndex)
            assert index.rows is not None
            values = rows_at(path, list(named))
            for row, (name, place) in named.items():
                entry = index.rows.read(place, values[row]) if row in values else None
                if entry is None or (isinstance(entry, Entry) and entry.sample.id != name):
                    entry = Problem(f"{path.name} row {row}", "it is no longer this edit", _AGAIN)
                found[name] = entry
        return found


def _draw(
    sessions: Iterator[tuple[str, Sequence[Entry] | Problem]], settings: LayoutSettings
) -> dict[int, int]:
    """How many turns to take of which sessions (by their number): `sample` in all, by lot.

    The lot depends on the seed and the session's name alone. Only the drawn ones are in memory.
    """
    most = settings.sample or 0
    drawn: list[tuple[int, int, int]] = []  # (-lot, -number, turns): the worst lot first
    total = 0
    for at, (split, entries) in enumerate(sessions):
        if isinstance(entries, Problem):
            continue
        name = entries[0].sample.session or entries[0].sample.id
        lot = derive_seed(settings.seed, "sample", split, name)
        heapq.heappush(drawn, (-lot, -at, len(entries)))
        total += len(entries)
        while total - drawn[0][2] >= most:
            total -= heapq.heappop(drawn)[2]
    kept = {-at: turns for _, at, turns in drawn}
    if total > most:
        kept[-drawn[0][1]] -= total - most
    return kept


def _without_words(entries: Sequence[Entry]) -> list[Problem]:
    fix = "give it one, or leave it out"
    return [
        Problem(entry.where, "the instruction is empty", fix)
        for entry in entries
        if not entry.sample.instruction.strip()
    ]


def _loaded(entry: Entry | Problem, read: dict[Picture, Image | Fail]) -> Outcome:
    if isinstance(entry, Problem):
        return Fail("row-faulty", _PERMANENT, str(entry))
    images: dict[str, Image] = {}
    sizes: dict[str, tuple[int, int]] = {}
    for name, picture in entry.pictures.items():
        if picture not in read:
            read[picture] = _image(picture)
        image = read[picture]
        if isinstance(image, Fail):
            return image
        try:
            sizes[name] = picture_size(image.bytes)
        except ImageError as error:
            return Fail(error.code, _PERMANENT, f"{name}: {error}")
        images[name] = image
    if len(set(sizes.values())) > 1:
        told = ", ".join(f"{name} {width} x {height}" for name, (height, width) in sizes.items())
        return Fail("other-size", _PERMANENT, f"pictures of one edit differ in size: {told}")
    source, target, mask = (images.get(name) for name in ("source", "target", "mask"))
    assert source is not None
    return Keep((replace(entry.sample, source=source, target=target, mask=mask),))


def _image(picture: Picture) -> Image | Fail:
    if isinstance(picture, Image):
        return picture
    try:
        return Image(read_file(picture), picture.name)
    except ImageError as error:
        return Fail(error.code, _PERMANENT, str(error))
    except OSError as error:
        gone = isinstance(error, FileNotFoundError)
        return Fail("unreadable", _PERMANENT if gone else FailureClass.TRANSIENT, str(error))
