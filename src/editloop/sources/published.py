"""What this package published: a data folder, or the run folder that it lies in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from editloop.errors import EditLoopError
from editloop.sources.entries import Entry, Problem
from editloop.sources.listed import ListedIndex
from editloop.store import published_files, read_samples

__all__ = ["published_index"]

_FILE = re.compile(r"(?P<split>.+)-\d{5}-of-\d{5}\.parquet")


def published_index(folder: Path, split: str | None) -> ListedIndex:
    """The index of the layout kind `published`; the split may be left open where there is one."""
    data = folder / "data" if (folder / "data").is_dir() else folder
    matches = map(_FILE.fullmatch, sorted(path.name for path in data.glob("*.parquet")))
    splits = sorted({match["split"] for match in matches if match})
    if split is None and len(splits) == 1:
        split = splits[0]
    if split is None or split not in splits:
        fix = f"choose a split: {', '.join(splits)}" if splits else "name a run or its data folder"
        problem = Problem(str(data), f"it has no one split {split or ''}".rstrip(), fix)
        return ListedIndex("published", "1", folder, lambda: iter([problem]))
    return ListedIndex(
        "published",
        "1",
        folder,
        partial(_entries, data, split),
        table_files=sorted(data.glob(f"{split}-*.parquet")),
    )


def _entries(data: Path, split: str) -> Iterator[Entry | Problem]:
    try:
        published_files(data, split)
        for sample in read_samples(data, split):
            yield Entry(sample.id, sample, sample.source, sample.target, sample.mask)
    except EditLoopError as error:
        yield Problem(str(data), error.cause, error.fix or "build it again")
