"""The layout `published`: data built by this package, given its data folder or its run folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from editloop.errors import EditLoopError
from editloop.schema import Json
from editloop.sources.entries import Entry, Place, Problem
from editloop.sources.listed import ListedIndex, Rows
from editloop.sources.stored import rows_without_pictures
from editloop.storage.samples import from_row, published_files, read_samples, split_names

__all__ = ["published_index", "published_splits"]


def published_index(folder: Path, split: str | None) -> ListedIndex:
    """Return the index of the layout `published`; `split` may be None if there is only one."""
    data, splits = _data(folder), published_splits(folder)
    if split is None and len(splits) == 1:
        split = splits[0]
    if split is None or split not in splits:
        fix = f"choose a split: {', '.join(splits)}" if splits else "give a run or its data folder"
        problem = Problem(str(data), f"it has no single split {split or ''}".rstrip(), fix)
        return ListedIndex("published", "1", folder, lambda: iter([problem]))
    return ListedIndex(
        "published",
        "1",
        folder,
        partial(_entries, data, split),
        table_files=sorted(data.glob(f"{split}-*.parquet")),
        rows=Rows(partial(_listed, data, split), _entry_at),
    )


def published_splits(folder: Path) -> list[str]:
    """Return the existing splits."""
    return split_names(_data(folder))


def _data(folder: Path) -> Path:
    return folder / "data" if (folder / "data").is_dir() else folder


def _entries(data: Path, split: str) -> Iterator[Entry | Problem]:
    try:
        published_files(data, split)
        for sample in read_samples(data, split):
            yield Entry(
                sample.id,
                sample,
                sample.source_image,
                sample.target,
                sample.mask,
                sample.references,
            )
    except EditLoopError as error:
        yield _broken(data, error)


def _listed(data: Path, split: str) -> Iterator[Entry | Problem]:
    number = 0
    try:
        for path in published_files(data, split):
            for row, values in enumerate(rows_without_pictures(path)):
                if isinstance(values, str):
                    yield Problem(f"{path.name} row {row}", values, "build it again", "edit")
                else:
                    yield _entry_at(Place(path, row, number, values["turn"]), values)
                number += 1
    except EditLoopError as error:
        yield _broken(data, error)


def _entry_at(place: Place, values: Mapping[str, Json]) -> Entry:
    sample = from_row(values)
    return Entry(
        sample.id, sample, sample.source_image, sample.target, sample.mask, sample.references, place
    )


def _broken(data: Path, error: EditLoopError) -> Problem:
    return Problem(str(data), error.cause, error.fix or "build it again")
