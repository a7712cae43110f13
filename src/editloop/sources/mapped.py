"""The layout `table`: Parquet, Arrow, WebDataset or a `metadata.jsonl`, with a column mapping.

A field mapped to an empty name (`id: ""`) is not read; an unmapped field is looked up under the
usual column names (`columns.COLUMNS`), in the columns that no other field is mapped to. Rewards
(`columns.REWARD_FIELDS`) are read only if they are mapped.
"""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, field_validator, model_validator

from editloop.errors import known_names
from editloop.schema import PERSPECTIVES
from editloop.sources.columns import COLUMNS, REWARD_FIELDS, SCORES, Rules
from editloop.sources.listed import ListedIndex
from editloop.sources.metadata import MetadataSettings
from editloop.sources.scales import REWARDS, Scale
from editloop.sources.tables import table_index
from editloop.sources.taxonomies import TAXONOMIES

__all__ = ["MappedSettings", "mapped_table_index"]

_WHOLE = frozenset({"id", "target"})  # required in every row if mapped; masks may be missing


class MappedSettings(MetadataSettings):
    """The split, the taxonomy of edit types, and the column of each field."""

    map: dict[str, str] = Field(
        default_factory=dict, description="the column of each field of a sample"
    )
    scale: Scale = Field(
        default=REWARDS, description="lowest and highest reward in the columns, mapped to 0..5"
    )

    @field_validator("map")
    @classmethod
    def _is_of_fields(cls, value: dict[str, str]) -> dict[str, str]:
        for name in value:
            if name not in (*COLUMNS, *REWARD_FIELDS):
                known = known_names(name, [*COLUMNS, *REWARD_FIELDS])
                raise ValueError(f"no field {name!r}: {known}")
        return value

    @model_validator(mode="after")
    def _scales_something(self) -> Self:
        if "scale" in self.model_fields_set and not any(map(self.map.get, PERSPECTIVES)):
            raise ValueError("scale has no effect: map following, preserving or quality to columns")
        return self


def mapped_table_index(
    folder: Path,
    split: str | None,
    taxonomy: str,
    map: dict[str, str],
    *,
    scale: tuple[float, float] = REWARDS,
    format: str | None = None,
) -> ListedIndex:
    """Return the index of the layout `table`."""
    named: dict[str, tuple[str, ...]] = {
        name: (column,) if column else () for name, column in map.items()
    }
    if "references" in map:  # the only field of several pictures
        named["references"] = tuple(each for each in map["references"].split(",") if each)
    chosen = frozenset(name for name in map if map[name])
    taken = {column for columns in named.values() for column in columns}
    usual = {name: tuple(each for each in COLUMNS[name] if each not in taken) for name in COLUMNS}
    rules = Rules(
        "table",
        version="3",
        columns={**usual, **named},
        types=TAXONOMIES[taxonomy],
        needs=frozenset({"source", "instruction"} | (chosen & _WHOLE)),
        named=chosen,
        scores=SCORES,
        guessed=True,
        mapped=frozenset(map),
        scale=scale,
        outside=True,
    )
    return table_index(folder, rules, split, format)
