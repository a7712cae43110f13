"""The layout `metadata`: a `metadata.jsonl` beside pictures, or table files that contain them.

`columns.COLUMNS` lists the column names that are recognised.
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
    """The split, the files' format, and the taxonomy of the rows' edit types."""

    format: Literal["parquet", "arrow", "tar", "jsonl", "ndjson", "json", "csv", "tsv"] | None = (
        Field(default=None, description="the files to read, if there are several formats")
    )

    taxonomy: Literal["real-edit", "emu-edit", "ultra-edit", "pie-bench", "gedit", "imgedit"] = (
        Field(default="real-edit", description="the taxonomy of the column of edit types")
    )


def metadata_index(
    folder: Path, split: str | None, taxonomy: str, format: str | None = None
) -> ListedIndex:
    """Return the index of the layout `metadata`."""
    rules = Rules("metadata", types=TAXONOMIES[taxonomy], guessed=True)
    return table_index(folder, rules, split, format)
