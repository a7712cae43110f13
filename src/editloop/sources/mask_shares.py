"""How many samples of imported data have a mask, and how many masks were read by transparency."""

from __future__ import annotations

import json
from pathlib import Path

from editloop.schema import Json
from editloop.sources.layout_pictures import MASK_READ_BY, TRANSPARENCY
from editloop.storage.parquet import read_rows
from editloop.storage.samples import published_files, split_names

__all__ = ["mask_shares"]


def mask_shares(data: Path) -> dict[str, int]:
    """Return the numbers of `samples`, `masks` and masks that were read as `transparent`.

    All splits of a published data set count; no picture is read.
    """
    found = {"samples": 0, "masks": 0, "transparent": 0}
    for path in (file for split in split_names(data) for file in published_files(data, split)):
        columns = ["mask.path", "provenance.parameters"]
        for row in read_rows(path, columns, what="a data set"):
            found["samples"] += 1
            found["masks"] += row["mask"] is not None
            found["transparent"] += _is_transparent(row["provenance"])
    return found


def _is_transparent(provenance: Json) -> bool:
    noted = {} if provenance is None else json.loads(provenance["parameters"])
    return bool(noted.get(MASK_READ_BY) == TRANSPARENCY)
