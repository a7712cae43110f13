"""Comparison with test sets: lists of hashes, or local data sets that are hashed first.

Sources are compared only with sources and targets only with targets: the target of a small edit is
nearly equal to its source and would always match it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from editloop.errors import ImageError, RecipeError
from editloop.registry import parse_spec
from editloop.schema import EditSample, Image, Json
from editloop.sources.hashes import (
    HashList,
    PictureHash,
    hash_samples,
    picture_hash,
    read_hashes,
    text_hash,
    write_hashes,
)
from editloop.sources.layouts import LAYOUTS, Layout, layout_of, open_layout
from editloop.storage.records import fingerprint

__all__ = ["Comparison", "ReferenceSet", "hash_folder", "hash_layout"]


def hash_layout(layout: Layout, name: str) -> HashList:
    """Return the hashes of a data set, read edit by edit; RecipeError if it has any problem."""
    return hash_samples(name, (sample for turns in layout.sessions() for sample in turns))


def hash_folder(data: Path, *, layout: str | None = None, name: str | None = None) -> HashList:
    """Return the hashes of a folder's data set.

    `layout` is KIND[?key=value]; by default it is detected from the files.
    """
    spec = parse_spec(layout or layout_of(data), "layout")
    named = name or data.expanduser().resolve().name
    return hash_layout(open_layout(spec.kind, data, reading=None, **spec.settings), named)


@dataclass(frozen=True)
class ReferenceSet:
    """A test set as a user specifies it: `LIST.json`, or `[NAME=]LAYOUT:PATH[?key=value]`."""

    spec: str

    @cached_property
    def _layout(self) -> tuple[str, Layout] | None:
        """The name and the data set; None for a list of hashes."""
        named = parse_spec(self.spec, "layout")
        if named.kind not in LAYOUTS or "target" not in named.settings:
            return None
        options = {key: value for key, value in named.settings.items() if key != "target"}
        folder = Path(named.settings["target"])
        name = named.name if self.spec.startswith(f"{named.name}=") else named.kind
        return name, open_layout(named.kind, folder, reading=None, **options)

    @property
    def identity(self) -> Json:
        """A value that changes when the set does; no picture is opened to compute it."""
        if self._layout is None:
            return fingerprint(read_hashes(self._list).to_json())
        name, layout = self._layout
        return [name, layout.name, layout.version, layout.digest()]

    @property
    def _list(self) -> Path:
        path = Path(self.spec).expanduser()
        if not path.is_file():
            raise RecipeError(
                "no such test set",
                value=self.spec,
                fix=f"give a file of hashes, or LAYOUT:PATH; layouts: {', '.join(LAYOUTS)}",
            )
        return path

    def hashes(self, cache: Path | None) -> HashList:
        """Return its hashes; those of a layout are computed once and stored in `cache`."""
        if self._layout is None:
            return read_hashes(self._list)
        name, layout = self._layout
        if cache is None:
            return hash_layout(layout, name)
        path = cache / f"hashes-{fingerprint(self.identity)}.json"
        if not path.is_file():
            write_hashes(hash_layout(layout, name), path)
        return read_hashes(path)


class Comparison:
    """Find what a sample shares with test sets; pictures match within `distance` bits of 64."""

    def __init__(self, lists: Iterable[HashList], distance: int) -> None:
        self._lists = list(lists)
        self._distance = distance
        self._rough = {
            (listed.name, what): _known(pictures)
            for listed in self._lists
            for what, pictures in _pictures(listed).items()
        }

    def found(self, sample: EditSample) -> dict[str, list[str]]:
        """Return what matches by test set: `instruction`, `source`, `target`."""
        texts = [
            text_hash(text) for text in (sample.instruction, sample.inverse_instruction) if text
        ]
        images = {"source": sample.source, "target": sample.target}
        hashes = {what: _hash(image) for what, image in images.items()}
        return {
            listed.name: shared
            for listed in self._lists
            if (shared := self._shared(listed, texts, hashes))
        }

    def _shared(
        self, listed: HashList, texts: Iterable[str], hashes: Mapping[str, PictureHash | None]
    ) -> list[str]:
        shared = [] if listed.instructions.isdisjoint(texts) else ["instruction"]
        for what, pictures in _pictures(listed).items():
            own = hashes[what]
            if own is not None and self._has(listed.name, what, pictures, own):
                shared.append(what)
        return shared

    def _has(
        self, name: str, what: str, pictures: frozenset[PictureHash], own: PictureHash
    ) -> bool:
        if own in pictures:
            return True
        known = self._rough[name, what]
        if own.rough is None or not known.size:
            return False
        apart = np.bitwise_count(known ^ np.uint64(own.rough))
        return bool(apart.min() <= self._distance)


def _pictures(listed: HashList) -> dict[str, frozenset[PictureHash]]:
    return {"source": listed.sources, "target": listed.targets}


def _known(pictures: Iterable[PictureHash]) -> NDArray[np.uint64]:
    return np.array([each.rough for each in pictures if each.rough is not None], np.uint64)


def _hash(image: Image | None) -> PictureHash | None:
    """Return a picture's hashes; None if the picture is missing or cannot be read."""
    try:
        return None if image is None else picture_hash(image)
    except ImageError:
        return None
