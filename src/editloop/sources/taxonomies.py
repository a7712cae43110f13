"""Mappings from other data sets' edit labels to `EditType`; None if no type matches well.

Labels are compared in lower case, with `_` for spaces and hyphens. An unknown label has no type;
readers keep every original label in a sample's provenance.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeAlias

from editloop.schema import EditSample, EditType, Json

__all__ = [
    "EMU_EDIT",
    "GEDIT",
    "IMGEDIT",
    "PIE_BENCH",
    "REAL_EDIT",
    "TAXONOMIES",
    "ULTRA_EDIT",
    "Taxonomy",
    "edit_type",
    "own_kind",
    "plain_label",
]

Taxonomy: TypeAlias = Mapping[str, EditType | None]

# The parameters that hold a published data set's own label; `edit_type` is the mapped type.
_OWN = ("task", "task_type", "label", "editing_type_id", "edit_type")

REAL_EDIT: Taxonomy = {kind.value: kind for kind in EditType}

# Seven tasks; the paper's `texture` includes colours, and text edits change a part of the picture.
EMU_EDIT: Taxonomy = {
    "add": EditType.ADD,
    "background": EditType.BACKGROUND,
    "color": EditType.TEXTURE,
    "global": EditType.GLOBAL,
    "local": EditType.LOCAL,
    "remove": EditType.REMOVE,
    "style": EditType.STYLE,
    "text": EditType.LOCAL,
    "texture": EditType.TEXTURE,
}

# Table 5's nine instruction types. `turn` changes one object into another, or a whole scene.
ULTRA_EDIT: Taxonomy = {
    "add": EditType.ADD,
    "change_color": EditType.TEXTURE,
    "change_global": EditType.GLOBAL,
    "change_local": EditType.LOCAL,
    "others": None,
    "replace": EditType.LOCAL,
    "transform_global": EditType.GLOBAL,
    "transform_local": EditType.LOCAL,
    "turn": None,
}

# Ten types by number: random, then objects, attributes (content, pose, colour, material), ...
PIE_BENCH: Taxonomy = {
    "0": None,
    "1": EditType.LOCAL,
    "2": EditType.ADD,
    "3": EditType.REMOVE,
    "4": EditType.LOCAL,
    "5": EditType.LOCAL,
    "6": EditType.TEXTURE,
    "7": EditType.TEXTURE,
    "8": EditType.BACKGROUND,
    "9": EditType.STYLE,
}

# Eleven groups; `ps_human` retouches portraits in every way.
GEDIT: Taxonomy = {
    "background_change": EditType.BACKGROUND,
    "color_alter": EditType.TEXTURE,
    "material_alter": EditType.TEXTURE,
    "motion_change": EditType.LOCAL,
    "ps_human": None,
    "style_change": EditType.STYLE,
    "subject_add": EditType.ADD,
    "subject_remove": EditType.REMOVE,
    "subject_replace": EditType.LOCAL,
    "text_change": EditType.LOCAL,
    "tone_transfer": EditType.GLOBAL,
}

# Nine types; `adjust` changes attributes (colour, texture, tone), `compose` is several edits.
IMGEDIT: Taxonomy = {
    "action": EditType.LOCAL,
    "add": EditType.ADD,
    "adjust": EditType.TEXTURE,
    "background": EditType.BACKGROUND,
    "compose": None,
    "extract": None,
    "remove": EditType.REMOVE,
    "replace": EditType.LOCAL,
    "style": EditType.STYLE,
}

TAXONOMIES: Mapping[str, Taxonomy] = {
    "real-edit": REAL_EDIT,
    "emu-edit": EMU_EDIT,
    "ultra-edit": ULTRA_EDIT,
    "pie-bench": PIE_BENCH,
    "gedit": GEDIT,
    "imgedit": IMGEDIT,
}


def edit_type(label: Json, taxonomy: Taxonomy) -> EditType | None:
    """Return the edit type of a data set's label."""
    return taxonomy.get(plain_label(label))


def own_kind(sample: EditSample) -> str | None:
    """Return the data set's own label of an edit; None if it has none."""
    facts = {} if sample.provenance is None else sample.provenance.parameters
    found = next((facts[name] for name in _OWN if facts.get(name) is not None), None)
    return None if found is None else str(found)


def plain_label(label: Json) -> str:
    """Return a label as used in the mappings: lower case, `_` for spaces and hyphens."""
    return re.sub(r"[\s-]+", "_", str(label).strip().lower())
