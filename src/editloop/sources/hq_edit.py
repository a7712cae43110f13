"""HQ-Edit (arXiv:2404.09990): pairs with captions, an edit and its inverse.

The columns `input` and `output` are captions, `input_image` and `output_image` the pictures, `edit`
and `inverse_edit` the instructions.
"""

from __future__ import annotations

from pathlib import Path

from editloop.sources.columns import COLUMNS, Rules
from editloop.sources.listed import ListedIndex
from editloop.sources.tables import table_index

__all__ = ["hq_edit_index"]

_RULES = Rules(
    "hq-edit",
    columns={
        **COLUMNS,
        "session": (),
        "turn": (),
        "source": ("input_image", "source", "file_name"),
        "target": ("output_image", "target"),
        "source_caption": ("input", *COLUMNS["source_caption"]),
        "target_caption": ("output", *COLUMNS["target_caption"]),
    },
    needs=frozenset({"source", "target", "instruction"}),
)


def hq_edit_index(folder: Path, split: str | None) -> ListedIndex:
    """Return the index of the layout `hq-edit`."""
    return table_index(folder, _RULES, split)
