"""Emu Edit's test set (arXiv:2311.10089): pictures, instructions, captions, no ground truth.

The columns are idx, image, instruction, task, input_caption and output_caption. `edited_image`,
where a release has it, is one system's output, not a target, and is ignored.
"""

from __future__ import annotations

from pathlib import Path

from editloop.sources.columns import COLUMNS, Rules
from editloop.sources.listed import ListedIndex
from editloop.sources.tables import table_index
from editloop.sources.taxonomies import EMU_EDIT

__all__ = ["emu_edit_index"]

_RULES = Rules(
    "emu-edit",
    columns={**COLUMNS, "session": (), "turn": (), "target": (), "mask": ()},
    types=EMU_EDIT,
    needs=frozenset({"source", "instruction", "source_caption", "target_caption"}),
)


def emu_edit_index(folder: Path, split: str | None) -> ListedIndex:
    """Return the index of the layout `emu-edit`; the parameter `task` holds a sample's task."""
    return table_index(folder, _RULES, split)
