"""GEdit-Bench (arXiv:2504.17761): one instruction per row, in English or in Chinese.

The columns are key, task_type, instruction, instruction_language and input_image. Outputs are
resized to `input_image` and judged against it; `input_image_raw` is ignored.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from editloop.sources.columns import COLUMNS, Rules
from editloop.sources.listed import ListedIndex
from editloop.sources.tables import TableSettings, table_index
from editloop.sources.taxonomies import GEDIT

__all__ = ["GEditSettings", "gedit_index"]


class GEditSettings(TableSettings):
    """The split, and the language of the instructions; the benchmark reports each separately."""

    language: Literal["en", "cn"] = Field(default="en", description="of the instructions")


def gedit_index(folder: Path, split: str | None, language: str) -> ListedIndex:
    """Return the index of the layout `gedit`; the parameter `task_type` holds a sample's group."""
    rules = Rules(
        "gedit",
        columns={**COLUMNS, "id": ("key",), "session": (), "turn": (), "target": (), "mask": ()},
        types=GEDIT,
        needs=frozenset({"id", "source", "instruction"}),
        only=("instruction_language", language),
    )
    return table_index(folder, rules, split)
