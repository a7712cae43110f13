"""Published data sets in the layouts they come in, streamed as samples: the face of the readers.

`open_layout(kind, folder)` answers with a `Layout`; `LAYOUTS` names the kinds. Nothing is read
before it is asked for, and nothing holds a data set in memory: only an index that is a JSON file.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from editloop.errors import RecipeError
from editloop.recipe import Settings, validate
from editloop.schema import EditSample, Json
from editloop.sources.emu_edit import emu_edit_index
from editloop.sources.entries import Index, Problem
from editloop.sources.gedit import GEditSettings, gedit_index
from editloop.sources.hq_edit import hq_edit_index
from editloop.sources.imgedit import imgedit_index
from editloop.sources.magicbrush import MagicBrush
from editloop.sources.metadata import MetadataSettings, metadata_index
from editloop.sources.pie_bench import pie_bench_index
from editloop.sources.published import published_index
from editloop.sources.reading import IndexedLayout
from editloop.sources.real_edit import real_edit_index
from editloop.sources.tables import TableSettings

__all__ = ["LAYOUTS", "Kind", "Layout", "Problem", "open_layout"]


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
    """A layout that can be read: what it is, its options, and what reads its index."""

    about: str
    index: Callable[..., Index]
    Settings: type[Settings] = Settings


LAYOUTS: dict[str, Kind] = {
    "magicbrush": Kind("MagicBrush's unpacked split", MagicBrush),
    "emu-edit": Kind("Emu Edit's test set", emu_edit_index, TableSettings),
    "real-edit": Kind("Real-Edit's pictures and instructions", real_edit_index),
    "hq-edit": Kind("HQ-Edit's pairs", hq_edit_index, TableSettings),
    "pie-bench": Kind("PIE-Bench's pictures, prompts and masks", pie_bench_index),
    "gedit": Kind("GEdit-Bench, in one language", gedit_index, GEditSettings),
    "imgedit": Kind("ImgEdit's single-turn benchmark", imgedit_index),
    "metadata": Kind("any metadata.jsonl or Parquet table", metadata_index, MetadataSettings),
    "published": Kind("data that this package published", published_index, TableSettings),
}


def open_layout(kind: str, folder: Path, **options: Json) -> Layout:
    """The data set of a kind in a folder; RecipeError for an unknown kind, folder or option."""
    if kind not in LAYOUTS:
        close = difflib.get_close_matches(kind, LAYOUTS, n=1)
        guess = f"did you mean {close[0]!r}? " if close else ""
        raise RecipeError(
            "unknown layout of a data set", value=kind, fix=f"{guess}known: {', '.join(LAYOUTS)}"
        )
    place = Path(folder).expanduser()
    if not place.is_dir():
        raise RecipeError("no such folder of data", value=place, fix="name the unpacked data set")
    known = LAYOUTS[kind]
    settings = validate(known.Settings, options, where=f"layout {kind}")
    return IndexedLayout(known.index(place, **settings.model_dump()))
