"""GEdit-Bench (arXiv:2504.17761): one instruction per row, in English or in Chinese.

The columns are key, task_type, instruction, instruction_language, input_image and
Intersection_exist, which marks the cases that every system of the paper answered. Outputs are
resized to `input_image` and judged against it; `input_image_raw` is ignored.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from editloop.schema import Json
from editloop.sources.columns import COLUMNS, Rules
from editloop.sources.listed import ListedIndex
from editloop.sources.tables import TableSettings, table_index
from editloop.sources.taxonomies import GEDIT

__all__ = ["GEditSettings", "gedit_index"]


_INTERSECTION = "Intersection_exist"


class GEditSettings(TableSettings):
    """The split, the language of the instructions, and the cases; each is reported separately."""

    language: Literal["en", "cn"] = Field(default="en", description="of the instructions")
    intersection: bool = Field(
        default=False, description="only the cases that every system of the paper answered"
    )


def gedit_index(folder: Path, split: str | None, language: str, intersection: bool) -> ListedIndex:
    """Return the index of the layout `gedit`; the parameter `task_type` holds a sample's group."""
    own = {"id": ("key",), "session": (), "turn": (), "target": (), "mask": ()}
    only: dict[str, Json] = {"instruction_language": language}
    rules = Rules(
        "gedit",
        columns={**COLUMNS, **own, _INTERSECTION: (_INTERSECTION,)},
        types=GEDIT,
        needs=frozenset({"id", "source", "instruction"}),
        named=frozenset({_INTERSECTION} if intersection else ()),
        only={**only, _INTERSECTION: True} if intersection else only,
    )
    return table_index(folder, rules, split)
