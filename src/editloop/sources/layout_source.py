"""The source `layout`: existing edits from a published data set, or one that this package built.

It loads whole samples (source, target, mask, captions, scores, provenance), so that steps can
filter or judge them. Listing opens no picture. A data set with a faulty index is refused, with a
list of all problems. An edit with an unreadable picture is quarantined under the picture's
`ImageError` code (`CODES`, `MASK_CODES`), or as `unreadable` (the file cannot be opened),
`other-size` (its shape differs from the source's), `row-faulty` (the row changed or contains no
picture). A requested id that the data set lacks is quarantined as `absent`.

With `faults: quarantine`, a faulty entry of the index is quarantined alone (`row-faulty`,
`no-instruction`, `id-twice`), and a missing turn quarantines the later ones (`session-broken`).

An item's parameters contain size and modification time of its files, so that a change is detected.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from editloop.errors import FailureClass, RecipeError
from editloop.kernel.steps import Fail, Keep, Outcome, SourceItem
from editloop.runtime.seeding import derive_seed
from editloop.schema import EditSample, Image, Json
from editloop.sources.entries import Entry, Index, Picture, Place, Problem, read_json
from editloop.sources.formats import format_of
from editloop.sources.layout_items import entry_in, item_of, place_in
from editloop.sources.layout_pictures import with_pictures
from editloop.sources.layout_sample import draw, fault_of, without_words
from editloop.sources.layout_settings import LayoutSettings
from editloop.sources.layouts import LAYOUTS, layout_of, open_index, splits_of
from editloop.sources.listed import ListedIndex
from editloop.sources.reading import refuse

__all__ = ["LayoutSource"]

_SPLIT = "train"  # the split of data without splits
_HELD_OUT = frozenset({"val", "valid", "validation", "dev", "test", "heldout"})
_PERMANENT = FailureClass.PERMANENT
_OTHER = "it is no longer this edit"
_AGAIN = "run it again: what changed is listed anew"
_ABSENT = ("absent", "the data set has no edit of this id")


class LayoutSource:
    """The source kind `layout`."""

    Settings = LayoutSettings
    name = "layout"
    version = "5"

    def __init__(self, settings: LayoutSettings) -> None:
        self._settings = settings
        self._folder = settings.path.expanduser()
        self._indexes: dict[str, Index] = {}

    @property
    def parameters(self) -> Mapping[str, Json]:
        """The settings, with the name and version of the layout that they resolve to."""
        layout = self._index(next(iter(self._parts)))
        settings = self._settings.model_dump(mode="json")
        return {**settings, "layout": layout.name, "layout_version": layout.version}

    @cached_property
    def _kind(self) -> str:
        return self._settings.layout or layout_of(self._folder)

    @cached_property
    def _parts(self) -> dict[str, str | None]:
        """The data set's splits by name, with the value of the layout's option `split` for each.

        The value is None if the layout has no splits to choose from.
        """
        settings = self._settings
        splits = splits_of(self._kind, self._folder, **settings.options)
        chosen = settings.options.get("split", settings.split)
        if chosen is not None or not splits:
            known = splits or LAYOUTS[self._kind].shares(self._folder)
            return {settings.split or chosen or self._unnamed(): chosen if known else None}
        return {split: split for split in splits}

    def _index(self, part: str) -> Index:
        """Return a split's index; opened on first use, because there may be thousands of splits."""
        if part not in self._indexes:
            chosen = self._parts[part]
            options = self._settings.options
            options = options if chosen is None else {**options, "split": chosen}
            self._indexes[part] = open_index(self._kind, self._folder, **options)
        return self._indexes[part]

    def _unnamed(self) -> str:
        """Return the split's name for data without splits; an unpacked split has its folder's."""
        name = self._folder.name
        return name if self._settings.splits == "two" and name in _HELD_OUT else _SPLIT

    def items(self) -> Iterator[SourceItem]:
        """Yield every edit, or those of the sample, in order; raise RecipeError on any problem."""
        settings = self._settings
        most = settings.sample
        kept = None if most is None else draw(self._sessions(), settings.seed, most)
        absent = dict.fromkeys(sorted(self._only or ()))
        seen: set[int] = set()  # hashes of ids
        problems: list[Problem] = []
        at = -1
        for at, (part, entries) in enumerate(self._sessions()):
            if isinstance(entries, Problem):
                problems += self._refused([entries])
                if kept is None and self._only is None and not self._refused([entries]):
                    yield from self._faulty(part, entries)
                continue
            problems += self._refused(without_words(entries))
            if problems:  # collect the rest; nothing is built from such data
                continue
            for entry in entries:
                absent.pop(entry.sample.id, None)
            twice = False  # the turns after one that is refused have no source
            for turn in range(len(entries) if kept is None else kept.get(at, 0)):
                item = self._item(part, entries, turn)
                twice = twice or (self._spares_faults and hash(item.id) in seen)
                seen.add(hash(item.id))
                yield _twice(item, entries[turn]) if twice else item
        if at < 0 and self._only is None:
            fix = "choose another folder or split"
            problems = [Problem(str(self._folder), "the data set contains no edit", fix)]
        refuse(problems, self._folder)
        for name in absent:
            yield SourceItem(name, next(iter(self._parts)), "", {"fault": _ABSENT})

    def _refused(self, problems: Sequence[Problem]) -> list[Problem]:
        """Return the problems for which the whole data set is refused."""
        return [each for each in problems if not self._spares_faults or each.costs == "set"]

    @property
    def _spares_faults(self) -> bool:
        return self._settings.faults == "quarantine"

    def _faulty(self, part: str, problem: Problem) -> Iterator[SourceItem]:
        """Yield the item of an edit that cannot be listed; a session's turns have own items."""
        if problem.costs == "edit":
            facts = {"fault": [problem.code, str(problem)]}
            yield SourceItem(problem.where, self._published(part, problem.where), "", facts)

    def _item(self, part: str, entries: Sequence[Entry], turn: int) -> SourceItem:
        entry = entries[turn]
        sample = entry.sample
        split = self._published(part, entry.group or sample.session or sample.id)
        name = f"{self._prefix(part)}{sample.id}"
        fault = fault_of(entries, turn)
        if fault is not None:
            return SourceItem(name, split, "", {"fault": fault})
        item = item_of(split, entry)
        facts = item.parameters if split == part else {**item.parameters, "part": part}
        return replace(item, id=name, parameters=facts)

    def _published(self, part: str, group: str) -> str:
        """Return the split under which an edit of a part is published."""
        settings = self._settings
        if settings.splits == "own":
            return part
        if LAYOUTS[self._kind].tests or part in _HELD_OUT:
            return "heldout"
        draw = derive_seed(settings.seed, "heldout", part, group) / 2**63
        return "heldout" if draw < settings.heldout else "train"

    def _prefix(self, part: str) -> str:
        several = self._settings.splits == "two" and len(self._parts) > 1
        return f"{part}/" if several and self._kind != "published" else ""

    @cached_property
    def _only(self) -> frozenset[str] | None:
        """The ids to take, or None for all."""
        path = self._settings.only
        if path is None:
            return None
        names = read_json(path.expanduser())
        ids = names if isinstance(names, dict | list) else []
        if not ids or not all(isinstance(name, str) for name in ids):
            cause = names.cause if isinstance(names, Problem) else "it contains no ids"
            fix = 'write {ID: ..., ...} or ["ID", ...]'
            raise RecipeError(f"a file of ids cannot be read: {cause}", value=path, fix=fix)
        return frozenset(ids)

    def _sessions(self) -> Iterator[tuple[str, Sequence[Entry] | Problem]]:
        """Yield the sessions of all splits, restricted to the ids of `only` if it is set."""
        for part in self._parts:
            index = self._index(part)
            light = index.without_pictures() if isinstance(index, ListedIndex) else index
            for entries in light.sessions():
                if self._only is None or isinstance(entries, Problem):
                    yield part, entries
                elif taken := [entry for entry in entries if entry.sample.id in self._only]:
                    yield part, taken

    def load(self, items: Sequence[SourceItem]) -> list[Outcome]:
        """Load the samples of a batch one at a time; each row group is read once per batch.

        The pictures of one edit are kept, because the target of a turn is the source of the next.
        """
        parts = {item.id: _part(item) for item in items}
        outcomes = {name: self._made(entry, parts[name], {}) for name, entry in self._stored(items)}
        read: dict[Picture, Image | Fail] = {}
        for item in items:
            if "fault" in item.parameters:
                code, message = item.parameters["fault"]
                outcomes[item.id] = Fail(code, _PERMANENT, message)
            elif item.id not in outcomes:
                entry = entry_in(item)
                known = set(entry.pictures.values())
                read = {picture: image for picture, image in read.items() if picture in known}
                outcomes[item.id] = self._made(entry, parts[item.id], read)
        return [outcomes[item.id] for item in items]

    def _made(
        self, entry: Entry | Problem, part: str, read: dict[Picture, Image | Fail]
    ) -> Outcome:
        if isinstance(entry, Problem):
            return Fail("row-faulty", _PERMANENT, str(entry))
        settings = self._settings
        outcome = with_pictures(
            entry, read, settings.mask_reading, normalise=settings.normalise, fit=settings.fit
        )
        if not isinstance(outcome, Keep):
            return outcome
        return Keep((self._named(outcome.samples[0], part),))

    def _named(self, sample: EditSample, part: str) -> EditSample:
        """Return the sample with its published ids, and the configured licence if it has none."""
        prefix, made, licence = self._prefix(part), sample.provenance, self._settings.licence
        if licence is not None and made is not None and made.licence is None:
            sample = replace(sample, provenance=replace(made, licence=licence))
        if not prefix:
            return sample
        return replace(
            sample,
            id=f"{prefix}{sample.id}",
            session=None if sample.session is None else f"{prefix}{sample.session}",
            parent_id=None if sample.parent_id is None else f"{prefix}{sample.parent_id}",
        )

    def _stored(self, items: Sequence[SourceItem]) -> Iterator[tuple[str, Entry | Problem]]:
        """Yield the ids and entries of the items that are stored in tables, as they are read."""
        places: dict[tuple[str, Path], dict[int, list[tuple[str, Place]]]] = defaultdict(dict)
        for item in items:
            place = place_in(item)
            if place is not None:
                of_row = places[_part(item), place.file].setdefault(place.row, [])
                of_row.append((item.id, place))  # a row may hold a whole session
        for (part, path), named in places.items():
            index = self._index(part)
            wanted = index.rows.columns if isinstance(index, ListedIndex) and index.rows else None
            for row, values in format_of(path).rows_at(path, list(named), wanted):
                for name, place in named.pop(row):
                    yield name, self._entry_at(part, name, place, values)
            for row, of_row in named.items():
                for name, _ in of_row:
                    yield name, Problem(f"{path.name} row {row}", _OTHER, _AGAIN)

    def _entry_at(
        self, part: str, name: str, place: Place, values: Mapping[str, Json] | str
    ) -> Entry | Problem:
        where = f"{place.file.name} row {place.row}"
        if isinstance(values, str):
            return Problem(where, values, "make it smaller, or take it out")
        index = self._index(part)
        assert isinstance(index, ListedIndex)
        assert index.rows is not None
        entry = index.rows.read(place, values)
        if isinstance(entry, Entry) and f"{self._prefix(part)}{entry.sample.id}" != name:
            return Problem(where, _OTHER, _AGAIN)
        return entry


def _twice(item: SourceItem, entry: Entry) -> SourceItem:
    """Return the item of an edit whose id an earlier one has, named by its row."""
    name = f"{entry.where} turn {entry.sample.turn}" if entry.sample.session else entry.where
    cause = f"the id {item.id!r} is used before (fix: --map id=COLUMN, or --map id= to number rows)"
    return replace(item, id=name, uri="", parameters={"fault": ["id-twice", cause]})


def _part(item: SourceItem) -> str:
    """Return the data set's own split of an item."""
    part: str = item.parameters.get("part", item.split)
    return part
