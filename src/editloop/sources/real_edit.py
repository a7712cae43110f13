"""Real-Edit (arXiv:2411.04713): 80 photographs, each with one instruction for each of seven types.

    real_edit_instruct.json     picture -> texts such as "1. Local: make it smile"
    Real-Edit/<picture>         the pictures (or beside the JSON file)

The part of a text before its first colon names the type. A `metadata.jsonl` (file_name, edit_type,
instruction) is read instead if the folder has one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from editloop.schema import EditSample, EditType, Json, Provenance
from editloop.sources.captions import METADATA
from editloop.sources.columns import Rules
from editloop.sources.entries import BLANK, Entry, Problem, below
from editloop.sources.listed import ListedIndex, mapped_index
from editloop.sources.tables import table_index

__all__ = ["real_edit_index"]

_LISTING = "real_edit_instruct.json"
_WORD = re.compile("|".join(EditType), re.IGNORECASE)


def real_edit_index(folder: Path) -> ListedIndex:
    """Return the index of the layout `real-edit`; an edit's id is PICTURE/NUMBER."""
    if (folder / METADATA).is_file():
        return table_index(folder, Rules("real-edit"), None)
    apart = folder / "Real-Edit"
    edits = partial(_edits, apart if apart.is_dir() else folder)
    return mapped_index("real-edit", folder / _LISTING, edits)


def _edits(images: Path, key: str, texts: Json) -> Iterator[Entry | Problem]:
    path = below(images, key)
    if path is None or not isinstance(texts, list):
        yield Problem(key, "it is not a picture with a list of instructions", f"correct {_LISTING}")
        return
    for number, text in enumerate(texts, start=1):
        where = f"{Path(key).stem}/{number}"
        label, colon, instruction = text.partition(": ") if isinstance(text, str) else ("", "", "")
        if not colon:
            cause = "the text is not of the form `TYPE: instruction`"
            yield Problem(where, cause, f"correct {_LISTING}", "edit")
            continue
        named = _WORD.search(label)
        sample = EditSample(
            id=where,
            source=BLANK,
            instruction=instruction,
            edit_type=EditType(named[0].lower()) if named else None,
            provenance=Provenance(
                "real-edit", "1", parameters={"label": label}, source_uri=path.absolute().as_uri()
            ),
        )
        yield Entry(where, sample, path, group=key)
