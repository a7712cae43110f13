"""Any table, its columns named by the user: Parquet, Arrow, WebDataset or a `metadata.jsonl`.

A field that is mapped to no column (`id: ""`) is left open; one that is not mapped is looked for
under the names that the field's data sets use (`columns.COLUMNS`).
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, field_validator

from editloop.errors import known_names
from editloop.sources.columns import COLUMNS, SCORES, Rules
from editloop.sources.listed import ListedIndex
from editloop.sources.metadata import MetadataSettings
from editloop.sources.tables import table_index
from editloop.sources.taxonomies import TAXONOMIES

__all__ = ["MappedSettings", "mapped_table_index"]

_WHOLE = frozenset({"id", "target"})  # where these are mapped every edit has them; masks may lack


class MappedSettings(MetadataSettings):
    """Which split, whose kinds of edit, and which column is which field."""

    map: dict[str, str] = Field(
        default_factory=dict, description="a sample's field to the column that holds it"
    )

    @field_validator("map")
    @classmethod
    def _is_of_fields(cls, value: dict[str, str]) -> dict[str, str]:
        for name in value:
            if name not in COLUMNS:
                raise ValueError(f"no field {name!r}: {known_names(name, COLUMNS)}")
        return value


def mapped_table_index(
    folder: Path, split: str | None, taxonomy: str, map: dict[str, str]
) -> ListedIndex:
    """The index of the layout kind `table`."""
    named = {name: (column,) if column else () for name, column in map.items()}
    chosen = frozenset(name for name in map if map[name])
    rules = Rules(
        "table",
        columns={**COLUMNS, **named},
        types=TAXONOMIES[taxonomy],
        needs=frozenset({"source", "instruction"} | (chosen & _WHOLE)),
        named=chosen,
        scores=SCORES,
    )
    return table_index(folder, rules, split)
