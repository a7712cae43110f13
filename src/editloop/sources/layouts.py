"""Published data sets in their own layouts, streamed as samples: the readers' public interface.

`open_layout(kind, folder)` returns a `Layout`; `LAYOUTS` lists the kinds. Everything is read
lazily, and no data set is held in memory, except for an index that is a JSON file.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from editloop.errors import RecipeError, known_names
from editloop.images.masks import BY_CONTENT, MaskReading
from editloop.schema import EditSample, Json
from editloop.settings import Settings, validate
from editloop.sources.captions import METADATA
from editloop.sources.emu_edit import emu_edit_index
from editloop.sources.entries import Index, Problem
from editloop.sources.folder_pairs import FoldersSettings, folders_index
from editloop.sources.formats import FORMATS, format_of, is_format
from editloop.sources.gedit import GEditSettings, gedit_index
from editloop.sources.hq_edit import hq_edit_index
from editloop.sources.imgedit import imgedit_index
from editloop.sources.instruct_pix2pix import (
    InstructPix2PixSettings,
    holds_prompts,
    instruct_pix2pix_index,
    shares_of,
)
from editloop.sources.magicbrush import magicbrush_index
from editloop.sources.mapped import MappedSettings, mapped_table_index
from editloop.sources.metadata import MetadataSettings, metadata_index
from editloop.sources.pie_bench import pie_bench_index
from editloop.sources.published import published_index, published_splits
from editloop.sources.reading import IndexedLayout, Mapped, UnreadSession
from editloop.sources.real_edit import real_edit_index
from editloop.sources.table_files import split_files
from editloop.sources.tables import TableSettings, any_table_splits, table_splits
from editloop.sources.text_tables import TEXT_TABLES, is_text_table
from editloop.sources.ultra_edit import ultra_edit_index
from editloop.storage.samples import required_columns

__all__ = [
    "LAYOUTS",
    "Kind",
    "Layout",
    "Problem",
    "layout_of",
    "open_index",
    "open_layout",
    "splits_of",
]


class Layout(Protocol):
    """A data set in a folder."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str:
        """The version; it changes when the same folder would give different samples."""
        ...

    def sessions(self) -> Iterator[list[EditSample]]:
        """Yield the sessions in a fixed order, each with its turns in order.

        A single edit is a session of one. Pictures are encoded bytes, read when their session is
        reached; if turn i's source is turn i-1's target, both are the same `Image`. Raises
        RecipeError if there is any problem.
        """
        ...

    def unread_sessions(self) -> Iterator[UnreadSession]:
        """Yield the sessions as `sessions` does, without reading their pictures."""
        ...

    def find(self, ids: Collection[str]) -> Iterator[list[EditSample]]:
        """Yield the sessions that contain one of these ids, in order; reads only their pictures."""
        ...

    def problems(self, mapped: Mapped = map) -> list[Problem]:
        """Return every problem in the data set; every file is checked once.

        `mapped` checks groups of sessions, perhaps in processes.
        """
        ...

    def near_shapes(self) -> list[str]:
        """Return each picture whose shape differs a little from its source's."""
        ...

    def digest(self) -> str:
        """Return a SHA-256 of indexes, names, sizes and times: cheap, and changes with the data."""
        ...


@dataclass(frozen=True, slots=True)
class Kind:
    """A supported layout: a description, its index reader, its options and its splits.

    `shares` are splits that can be chosen from data that is otherwise read as one. `tests` marks a
    set that is entirely for testing editors, whatever its splits are called. `files`: one file may
    be given in place of a folder.
    """

    about: str
    index: Callable[..., Index]
    Settings: type[Settings] = Settings
    splits: Callable[..., Sequence[str]] = lambda _: ()
    shares: Callable[[Path], Sequence[str]] = lambda _: ()
    tests: bool = False
    files: bool = False


LAYOUTS: dict[str, Kind] = {
    "magicbrush": Kind(
        "MagicBrush, unpacked or the hub's", magicbrush_index, TableSettings, table_splits
    ),
    "emu-edit": Kind(
        "Emu Edit's test set", emu_edit_index, TableSettings, table_splits, tests=True
    ),
    "real-edit": Kind("Real-Edit's pictures and instructions", real_edit_index, tests=True),
    "hq-edit": Kind("HQ-Edit's pairs", hq_edit_index, TableSettings, table_splits),
    "ultra-edit": Kind("UltraEdit's edits", ultra_edit_index, TableSettings, table_splits),
    "pie-bench": Kind("PIE-Bench's pictures, prompts and masks", pie_bench_index, tests=True),
    "gedit": Kind(
        "GEdit-Bench, in one language", gedit_index, GEditSettings, table_splits, tests=True
    ),
    "imgedit": Kind("ImgEdit's single-turn benchmark", imgedit_index, tests=True),
    "instruct-pix2pix": Kind(
        "InstructPix2Pix's folders of pairs, or the hub's",
        instruct_pix2pix_index,
        InstructPix2PixSettings,
        table_splits,
        shares_of,
    ),
    "metadata": Kind(
        "any table of edits", metadata_index, MetadataSettings, any_table_splits, files=True
    ),
    "table": Kind(
        "the same, its columns named by a map",
        mapped_table_index,
        MappedSettings,
        any_table_splits,
        files=True,
    ),
    "folders": Kind(
        "folders of pictures before and after, with instructions", folders_index, FoldersSettings
    ),
    "published": Kind(
        "data that this package published", published_index, TableSettings, published_splits
    ),
}


# Layouts detected by their columns, because the layout `metadata` would misread or lose some.
_DETECTED_BY: dict[str, set[str]] = {
    "hq-edit": {"input", "input_image", "output", "output_image"},
    "ultra-edit": {"source_image", "edited_image", "clip_sim_dir"},
    "published": set(required_columns()),
}


def open_layout(
    kind: str, folder: Path, *, reading: MaskReading | None = BY_CONTENT, **options: Json
) -> Layout:
    """Open a folder's data set; raise RecipeError for an unknown kind, folder or option.

    `reading` decides where its masks allow editing; with None they are not read.
    """
    return IndexedLayout(open_index(kind, folder, **options), reading)


def open_index(kind: str, folder: Path, **options: Json) -> Index:
    """Open a data set's index, without its pictures; errors as `open_layout`."""
    known = _known(kind)
    place = _place(folder, known)
    settings = validate(known.Settings, options, where=f"layout {kind}")
    return known.index(place, **settings.model_dump())


def splits_of(kind: str, folder: Path, **options: Json) -> Sequence[str]:
    """Return the values of the layout's option `split`; empty if there are none to choose from."""
    known = _known(kind)
    chosen = {name: value for name, value in options.items() if name == "format"}
    return known.splits(_place(folder, known), **chosen)


def layout_of(folder: Path) -> str:
    """Detect the layout of a folder from its files; raise RecipeError if that is not possible."""
    place = _place(folder, _known("metadata"))
    if (place / "edit_sessions.json").is_file():
        return "magicbrush"
    if holds_prompts(place):
        return "instruct-pix2pix"
    if (place / METADATA).is_file():
        return "metadata"
    if place.is_file():
        tables = [place]
    else:
        tables = [path for paths in split_files(place).values() for path in paths]
    if not tables:
        raise RecipeError(
            "cannot tell the layout of a data set",
            value=place,
            fix=f"correct the folder, or name its layout: {', '.join(LAYOUTS)}",
        )
    if is_text_table(tables[0]):
        return "metadata"
    columns = set(format_of(tables[0]).columns(tables[0]))
    for kind, own in _DETECTED_BY.items():
        if own <= columns and place.is_dir():
            return kind
    return "metadata"


def _known(kind: str) -> Kind:
    if kind not in LAYOUTS:
        fix = known_names(kind, LAYOUTS)
        raise RecipeError("unknown layout of a data set", value=kind, fix=fix)
    return LAYOUTS[kind]


def _place(folder: Path, known: Kind) -> Path:
    place = Path(folder).expanduser()
    if place.is_file():
        if not known.files:
            fix = f"use its folder, {place.parent}"
            raise RecipeError("a data set must be a folder, not a file", value=place, fix=fix)
        if not (is_text_table(place) or is_format(place)):
            kinds = ", ".join((*FORMATS, *TEXT_TABLES))
            raise RecipeError("this file is not a table", value=place, fix=f"give one of {kinds}")
    elif not place.is_dir():
        raise RecipeError("no such folder of data", value=place, fix="give the unpacked data set")
    return place
