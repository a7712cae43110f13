"""Look up one chunk's pictures that were made elsewhere, and note what is unusual about them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol, TypeAlias, runtime_checkable

import pyarrow as pa

from editloop.errors import ImageError
from editloop.evaluation.answers.asking import EDITS, EditingSettings, settings_of
from editloop.evaluation.answers.cases import Sequences
from editloop.images.codec import content_hash, decode, encode_png, unlike_bare
from editloop.images.shapes import same_shape
from editloop.schema import EditSample, Json, Unedited
from editloop.sources.checks import picture_size

__all__ = ["FoundEditor", "find_chunk"]

_Size: TypeAlias = tuple[int, int]  # height, width


@runtime_checkable
class FoundEditor(Protocol):
    """An editor whose pictures already exist as files."""

    @property
    def name(self) -> str: ...

    @property
    def fingerprint(self) -> str: ...

    def find(self, sample: EditSample, setting: str) -> Path | Unedited: ...


def find_chunk(editor: FoundEditor, sequences: Sequences, asking: EditingSettings) -> pa.Table:
    """Return a chunk's pictures that were made elsewhere as a table of schema EDITS.

    `note` says where a picture's size differs from its source's, and where a released evaluator's
    `convert("RGB")` alone would read it differently.
    """
    rows = [
        _found_row(sample, setting, editor.find(sample, setting), asking.recorded)
        for sequence in sequences
        for index, sample in enumerate(sequence)
        for setting in sorted(settings_of(index, asking.settings))
    ]
    return pa.Table.from_pylist(rows, schema=EDITS)


def _found_row(sample: EditSample, setting: str, found: Path | Unedited, recorded: str) -> Json:
    row: dict[str, Json] = {"id": sample.id, "turn": sample.turn, "setting": setting}
    if isinstance(found, Unedited):
        return {**row, "unedited": found.reason}
    row["path"] = str(found.absolute())
    data = found.read_bytes()
    try:
        own, source = picture_size(data), picture_size(sample.source_image.bytes)
        note = "; ".join(_notes(data, own, source, recorded))
        if _is_strip(own, recorded):
            row["edited"] = data = _last_square(data, source[0])
    except ImageError as error:
        return {**row, "unedited": f"{found.name} cannot be read: {error.cause}"}
    return {**row, "sha256": content_hash(data), "note": note or None}


def _notes(data: bytes, own: _Size, source: _Size, recorded: str) -> Iterator[str]:
    """Yield what differs from a picture of the source's size that any reader reads alike."""
    if own != source:
        scaled = "scaled" if same_shape(own, source) else "stretched"
        how = "its last square is taken" if _is_strip(own, recorded) else f"it is {scaled}"
        yield f"{_text(own)}, its source {_text(source)}: {how}"
    if ignored := unlike_bare(data):
        yield f'`convert("RGB")` alone would ignore its {ignored}'


def _is_strip(size: _Size, recorded: str) -> bool:
    return recorded == "last-square" and size[0] != size[1]


def _last_square(data: bytes, side: int) -> bytes:
    """Return the square at the lower right of a picture, as PIE-Bench's evaluator crops it."""
    pixels = decode(data)
    if min(pixels.shape[:2]) < side:
        cause = f"it is {_text(pixels.shape[:2])}, which has no square of {side} pixels"
        raise ImageError("too-small", cause, fix="give the edited picture alone")
    return encode_png(pixels[-side:, -side:])


def _text(size: _Size) -> str:
    return f"{size[1]} x {size[0]}"
