"""Conversion between a data set's edit and a source's item.

An edit whose pictures are in a table becomes a place: file, row, number and turn. Any other edit is
stored in full except for its picture files, so that a worker needs no index. The item contains
sizes and times of the files, so that a change is detected.
"""

from __future__ import annotations

import base64
from pathlib import Path

from editloop.kernel.steps import SourceItem
from editloop.schema import EditSample, Image, Json
from editloop.sources.entries import REFERENCE, Entry, Picture, Place
from editloop.sources.files import path_of, size_and_time
from editloop.storage.samples import from_row, to_row

__all__ = ["entry_in", "item_of", "place_in"]

_PICTURES = ("source", "target", "mask")
_SCORE = dict.fromkeys(("name", "value", "passed", "text", "reason", "version"))


def item_of(split: str, entry: Entry) -> SourceItem:
    """Return the item of an edit."""
    place = entry.place
    if place is not None:
        facts: dict[str, Json] = {
            "place": [place.row, place.number, place.turn],
            "files": [size_and_time(place.file)],
        }
        return SourceItem(entry.sample.id, split, place.file.absolute().as_uri(), facts)
    files = [each for each in entry.pictures.values() if isinstance(each, Path)]
    facts = {
        "sample": _without_pictures(entry.sample),
        "pictures": {name: _written(each) for name, each in entry.pictures.items()},
        "files": [size_and_time(path) for path in files],
    }
    uri = files[0].absolute().as_uri() if files else ""
    return SourceItem(entry.sample.id, split, uri, facts)


def place_in(item: SourceItem) -> Place | None:
    """Return the place of an item's edit in a table; None if it is not in one."""
    place = item.parameters.get("place")
    return None if place is None else Place(path_of(item.uri), *place)


def entry_in(item: SourceItem) -> Entry:
    """Return the edit that an item contains in full."""
    row = {**dict.fromkeys(_PICTURES), **item.parameters["sample"]}
    row["scores"] = [{**_SCORE, **score} for score in row["scores"]]
    sample = from_row({**row, "source": {"bytes": b"", "path": None}})
    found = {name: _read_back(each) for name, each in item.parameters["pictures"].items()}
    references = [picture for name, picture in found.items() if name.startswith(REFERENCE)]
    return Entry(
        item.id, sample, found["source"], found.get("target"), found.get("mask"), tuple(references)
    )


def _without_pictures(sample: EditSample) -> dict[str, Json]:
    left_out = (*_PICTURES, "references")  # these are read again where the sample lies in a table
    return {name: value for name, value in to_row(sample).items() if name not in left_out}


def _written(picture: Picture) -> Json:
    if isinstance(picture, Image):
        return {"bytes": base64.b64encode(picture.bytes).decode("ascii"), "path": picture.path}
    return picture.absolute().as_uri()


def _read_back(written: Json) -> Picture:
    if isinstance(written, str):
        return path_of(written)
    return Image(base64.b64decode(written["bytes"]), written["path"])
