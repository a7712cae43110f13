"""Notices about a data set: what is not a fault, but must be known beside numbers made with it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from editloop.schema import EditSample, Json
from editloop.storage.parquet import read_rows
from editloop.storage.samples import published_files, split_names

__all__ = ["has_global_caption", "listed", "same_captions"]

_MOST_NAMES = 20  # cases and pictures listed by name; the rest are only counted


def listed(names: Sequence[str]) -> dict[str, Json] | None:
    """Return the number of names and the first of them; None if there are none."""
    return {"count": len(names), "first": list(names[:_MOST_NAMES])} if names else None


def has_global_caption(sample: EditSample) -> bool:
    """Return whether a sample's caption of the edited part is that of the whole picture."""
    made = sample.provenance
    return made is not None and _is_global(sample.target_caption, made.parameters)


def same_captions(data: Path) -> dict[str, Json] | None:
    """Return the samples of a published `data` folder with `has_global_caption`."""
    return listed([row["id"] for row in _rows(data) if _is_global(row["target_caption"], row)])


def _rows(data: Path) -> Iterator[Mapping[str, Json]]:
    """Yield each sample's id and caption, and the parameters of its provenance."""
    columns = ["id", "target_caption", "provenance"]
    for split in split_names(data):
        for path in published_files(data, split):
            for row in read_rows(path, columns, what="imported captions"):
                made = row["provenance"]
                yield {**(json.loads(made["parameters"]) if made else {}), **row}


def _is_global(caption: str | None, parameters: Mapping[str, Json]) -> bool:
    return caption is not None and caption == parameters.get("global_caption")
