"""Published data sets in the layouts they come in, streamed as samples: the face of the readers.

`open_layout(kind, folder)` answers with a `Layout`; `LAYOUTS` names the kinds. Nothing is read
before it is asked for, and nothing holds a data set in memory: only an index that is a JSON file.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pyarrow.parquet as pq

from editloop.errors import RecipeError
from editloop.files import explained
from editloop.recipe import Settings, validate
from editloop.schema import EditSample, Json, arrow_schema
from editloop.sources.captions import METADATA
from editloop.sources.emu_edit import emu_edit_index
from editloop.sources.entries import Index, Problem
from editloop.sources.gedit import GEditSettings, gedit_index
from editloop.sources.hq_edit import hq_edit_index
from editloop.sources.imgedit import imgedit_index
from editloop.sources.instruct_pix2pix import InstructPix2Pix
from editloop.sources.magicbrush import MagicBrush
from editloop.sources.metadata import MetadataSettings, metadata_index
from editloop.sources.pie_bench import pie_bench_index
from editloop.sources.published import published_index, published_splits
from editloop.sources.reading import IndexedLayout
from editloop.sources.real_edit import real_edit_index
from editloop.sources.tables import TableSettings, table_splits

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
        """Bumped when the same folder would give other samples."""
        ...

    def sessions(self) -> Iterator[list[EditSample]]:
        """The sessions in a fixed order, each with its turns in order; a lone edit is one of one.

        Pictures are encoded bytes, read when their session is reached; where turn i's source is
        turn i-1's target, both are one `Image`. Raises RecipeError if there is any problem.
        """
        ...

    def problems(self) -> list[Problem]:
        """Everything wrong with the data set, whole: every file is looked through once."""
        ...

    def digest(self) -> str:
        """A cheap SHA-256 that changes when the data does: of indexes, names, sizes and times."""
        ...


@dataclass(frozen=True, slots=True)
class Kind:
    """A layout that can be read: what it is, what reads its index, its options and its splits."""

    about: str
    index: Callable[..., Index]
    Settings: type[Settings] = Settings
    splits: Callable[[Path], Sequence[str]] = lambda _: ()


LAYOUTS: dict[str, Kind] = {
    "magicbrush": Kind("MagicBrush's unpacked split", MagicBrush),
    "emu-edit": Kind("Emu Edit's test set", emu_edit_index, TableSettings, table_splits),
    "real-edit": Kind("Real-Edit's pictures and instructions", real_edit_index),
    "hq-edit": Kind("HQ-Edit's pairs", hq_edit_index, TableSettings, table_splits),
    "pie-bench": Kind("PIE-Bench's pictures, prompts and masks", pie_bench_index),
    "gedit": Kind("GEdit-Bench, in one language", gedit_index, GEditSettings, table_splits),
    "imgedit": Kind("ImgEdit's single-turn benchmark", imgedit_index),
    "instruct-pix2pix": Kind("InstructPix2Pix's folders of pairs", InstructPix2Pix),
    "metadata": Kind(
        "any metadata.jsonl or Parquet table", metadata_index, MetadataSettings, table_splits
    ),
    "published": Kind(
        "data that this package published", published_index, TableSettings, published_splits
    ),
}


def open_layout(kind: str, folder: Path, **options: Json) -> Layout:
    """The data set of a kind in a folder; RecipeError for an unknown kind, folder or option."""
    return IndexedLayout(open_index(kind, folder, **options))


def open_index(kind: str, folder: Path, **options: Json) -> Index:
    """What a data set lists, without its pictures; errors as `open_layout`."""
    known, place = _known(kind), _place(folder)
    settings = validate(known.Settings, options, where=f"layout {kind}")
    return known.index(place, **settings.model_dump())


def splits_of(kind: str, folder: Path) -> Sequence[str]:
    """The splits that the layout's option `split` may choose; none where there is no choice."""
    return _known(kind).splits(_place(folder))


def layout_of(folder: Path) -> str:
    """The layout that a folder's files tell; RecipeError where it must be named."""
    place = _place(folder)
    if (place / "edit_sessions.json").is_file():
        return "magicbrush"
    if (place / METADATA).is_file():
        return "metadata"
    tables = [*place.glob("*.parquet"), *place.glob("data/*.parquet")]
    if not tables:
        raise RecipeError(
            "cannot tell the layout of a data set",
            value=place,
            fix=f"name the folder of one, and its layout: {', '.join(LAYOUTS)}",
        )
    with explained("read a data set", tables[0]):
        columns = set(pq.read_schema(tables[0]).names)
    if {"input", "input_image", "output", "output_image"} <= columns:
        return "hq-edit"  # whose `input` and `output` are captions
    return "published" if set(arrow_schema().names) <= columns else "metadata"


def _known(kind: str) -> Kind:
    if kind not in LAYOUTS:
        close = difflib.get_close_matches(kind, LAYOUTS, n=1)
        guess = f"did you mean {close[0]!r}? " if close else ""
        raise RecipeError(
            "unknown layout of a data set", value=kind, fix=f"{guess}known: {', '.join(LAYOUTS)}"
        )
    return LAYOUTS[kind]


def _place(folder: Path) -> Path:
    place = Path(folder).expanduser()
    if not place.is_dir():
        raise RecipeError("no such folder of data", value=place, fix="name the unpacked data set")
    return place
