"""UltraEdit (arXiv:2407.05282): free-form edits, and edits of a region with its mask.

The columns are source_image, edited_image, source_caption, target_caption, edit_prompt, six
measures (`columns.SCORES`), idx and, for regions, mask_image and edit_object. `idx` is not unique:
an edit's id is its row number.
"""

from __future__ import annotations

from pathlib import Path

from editloop.sources.columns import COLUMNS, SCORES, Rules
from editloop.sources.listed import ListedIndex
from editloop.sources.tables import table_index
from editloop.sources.taxonomies import ULTRA_EDIT

__all__ = ["ultra_edit_index"]

_RULES = Rules(
    "ultra-edit",
    columns={
        **COLUMNS,
        "id": (),
        "session": (),
        "turn": (),
        "source": ("source_image",),
        "target": ("edited_image", "target_image"),
        "mask": ("mask_image",),
        "instruction": ("edit_prompt", "edit_instruction", "instruction"),
        "edit_object": ("edit_object", "edited_object", "object"),
    },
    types=ULTRA_EDIT,
    needs=frozenset({"source", "target", "instruction"}),
    scores=SCORES,
)


def ultra_edit_index(folder: Path, split: str | None) -> ListedIndex:
    """Return the index of the layout `ultra-edit`."""
    return table_index(folder, _RULES, split)
