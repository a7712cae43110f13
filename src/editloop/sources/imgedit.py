"""ImgEdit's single-turn benchmark (arXiv:2505.20275): one JSON file lists 737 edits of nine types.

singleturn.json (or basic_edit.json)    key -> id (the picture's path), prompt, edit_type
<category>/<picture>                    beside it, or in original_images/
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from editloop.schema import EditSample, Json, Provenance
from editloop.sources.entries import BLANK, Entry, Problem, below
from editloop.sources.listed import ListedIndex, mapped_index
from editloop.sources.taxonomies import IMGEDIT, edit_type

__all__ = ["imgedit_index"]

_LISTINGS = ("singleturn.json", "basic_edit.json")


def imgedit_index(folder: Path) -> ListedIndex:
    """Return the index of the layout `imgedit`; the parameter `edit_type` holds a sample's type."""
    named = [name for name in _LISTINGS if (folder / name).is_file()] or [_LISTINGS[0]]
    apart = folder / "original_images"
    edits = partial(_edits, apart if apart.is_dir() else folder)
    return mapped_index("imgedit", folder / named[0], edits)


def _edits(images: Path, key: str, item: Json) -> Iterator[Entry | Problem]:
    facts = item if isinstance(item, dict) else {}
    path = below(images, facts.get("id", facts.get("image")))
    prompt, label = facts.get("prompt"), facts.get("edit_type")
    if path is None or not isinstance(prompt, str) or not isinstance(label, str):
        cause = "id (the picture), prompt or edit_type is missing"
        yield Problem(key, cause, "correct the index")
        return
    sample = EditSample(
        id=key,
        source=BLANK,
        instruction=prompt,
        edit_type=edit_type(label, IMGEDIT),
        provenance=Provenance(
            "imgedit", "1", parameters={"edit_type": label}, source_uri=path.absolute().as_uri()
        ),
    )
    yield Entry(key, sample, path)
