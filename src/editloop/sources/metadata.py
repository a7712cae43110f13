"""Any folder with a `metadata.jsonl` beside its pictures, or with Parquet that holds them.

`columns.COLUMNS` says which names of columns are understood.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from editloop.sources.columns import Rules
from editloop.sources.listed import ListedIndex
from editloop.sources.tables import TableSettings, table_index
from editloop.sources.taxonomies import TAXONOMIES

__all__ = ["MetadataSettings", "metadata_index"]


class MetadataSettings(TableSettings):
    """Which split, and whose kinds of edit the rows name."""

    taxonomy: Literal["real-edit", "emu-edit", "ultra-edit", "pie-bench", "gedit", "imgedit"] = (
        Field(default="real-edit", description="whose kinds of edit the column of types names")
    )


def metadata_index(folder: Path, split: str | None, taxonomy: str) -> ListedIndex:
    """The index of the layout kind `metadata`."""
    return table_index(folder, Rules("metadata", types=TAXONOMIES[taxonomy]), split)
