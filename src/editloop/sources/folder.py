"""The source `folder`: any folder of pictures, read recursively, with the captions beside them.

A picture that cannot be read is quarantined under its `ImageError` code (`images.CODES`), or under
one of these: `unreadable` (the file cannot be opened), `caption-unreadable`, and for lines of a
`metadata.jsonl`: `metadata-unreadable`, `caption-twice`, `picture-missing`.

An item's parameters contain the size and modification time of its files, so that a change is
detected without opening them. They are not stored in the data: a sample holds its file's SHA-256.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from editloop.errors import FailureClass, ImageError, RecipeError
from editloop.images.codec import content_hash, decode, encode_png
from editloop.kernel.steps import Fail, Keep, Outcome, SourceItem
from editloop.runtime.seeding import derive_seed
from editloop.schema import EditSample, Image, Json, Pixels, Provenance
from editloop.settings import Settings as BaseSettings
from editloop.sources.captions import Caption, read_side_car
from editloop.sources.crops import Crop
from editloop.sources.files import EXTENSIONS, path_of, read_file
from editloop.sources.folder_walk import FolderEntry, walk

__all__ = ["FolderSettings", "FolderSource"]

_SPLITS = ("train", "heldout")
_PERMANENT = FailureClass.PERMANENT


class FolderSettings(BaseSettings):
    """The folder (relative to the working directory), the pictures in it, their splits and sizes.

    `split: hash` holds out a share of the pictures by a hash of their paths; `split: folder` takes
    the split from the first folder's name, `train` or `heldout`.
    """

    path: Path
    include: tuple[str, ...] = Field(default=("*",), description="patterns of paths below `path`")
    split: Literal["hash", "folder"] = "hash"
    heldout: float = Field(default=0.1, ge=0, le=1, description="share held out by `split: hash`")
    size: int = Field(default=0, ge=0, description="side of a centred square crop; 0: no crop")
    max_side: int = Field(default=0, ge=0, description="shrink to this longest side; 0: no limit")
    licence: str | None = Field(default=None, description="the pictures' licence, for provenance")

    @model_validator(mode="after")
    def _is_one_size(self) -> FolderSettings:
        if self.size and self.max_side:
            raise ValueError("size crops and max_side shrinks: give one of the two")
        return self


class FolderSource:
    """The source kind `folder`."""

    Settings = FolderSettings
    name = "folder"
    version = "2"

    def __init__(self, settings: FolderSettings) -> None:
        self._settings = settings
        self._root = settings.path.expanduser().absolute()

    @property
    def parameters(self) -> Mapping[str, Json]:
        return self._settings.model_dump(mode="json")

    def items(self) -> Iterator[SourceItem]:
        """Yield every picture below the folder; raise RecipeError if there is none."""
        if not self._root.is_dir():
            raise RecipeError("no such folder", value=self._root, fix="correct the source's `path`")
        empty = True
        for listed in walk(self._root, self._settings.include):
            empty = False
            yield self._item(listed)
        if empty:
            raise RecipeError(
                "the folder contains no matching picture",
                value=self._root,
                fix=f"correct `path` or `include`; formats: {' '.join(sorted(EXTENSIONS))}",
            )

    def _item(self, listed: FolderEntry) -> SourceItem:
        # An id must be valid text: bytes that are not UTF-8 become backslash escapes.
        written = os.fsencode(listed.relative).decode("utf-8", "backslashreplace")
        return SourceItem(
            id=f"folder/{written}",
            split=self._split(listed),
            uri=(self._root / listed.relative).as_uri(),
            parameters=listed.facts,
        )

    def _split(self, listed: FolderEntry) -> str:
        if self._settings.split == "hash":
            share = derive_seed("split", listed.relative) / 2**63
            return "heldout" if share < self._settings.heldout else "train"
        first = listed.relative.partition("/")[0]
        if first in _SPLITS:
            return first
        if "fault" in listed.facts:
            return "train"  # it is quarantined in any split
        raise RecipeError(
            "a picture is not in a split's folder",
            value=ascii(listed.relative),
            fix="move it into train/ or heldout/, or set `split: hash`",
        )

    def load(self, items: Sequence[SourceItem]) -> list[Outcome]:
        return [self._load(item) for item in items]

    def _load(self, item: SourceItem) -> Outcome:
        if "fault" in item.parameters:
            return Fail(item.parameters["fault"][0], _PERMANENT, item.parameters["fault"][1])
        path = path_of(item.uri)
        try:
            data = read_file(path)
            picture = decode(data)
        except ImageError as error:
            return Fail(error.code, _PERMANENT, str(error))
        except OSError as error:
            gone = isinstance(error, FileNotFoundError)
            return Fail("unreadable", _PERMANENT if gone else FailureClass.TRANSIENT, str(error))
        caption = _caption(path, item)
        if isinstance(caption, Fail):
            return caption
        return Keep((self._sample(item, data, picture, caption),))

    def _sample(
        self, item: SourceItem, data: bytes, picture: Pixels, caption: str | None
    ) -> EditSample:
        height, width = picture.shape[:2]
        size = self._settings.size
        crop = (
            Crop.centre(width, height, size)
            if size
            else Crop.whole(width, height, self._settings.max_side)
        )
        return EditSample(
            id=item.id,
            source=Image(encode_png(crop.cut(picture)), item.id.removeprefix("folder/")),
            source_caption=caption,
            provenance=Provenance(
                generator=self.name,
                revision=self.version,
                parameters={"crop": crop.to_json(), "sha256": content_hash(data)},
                licence=self._settings.licence,
                source_uri=item.uri,
            ),
        )


def _caption(path: Path, item: SourceItem) -> Caption:
    suffix = item.parameters.get("side_car")
    if suffix is None:
        return item.parameters.get("caption")
    return read_side_car(path.with_suffix(suffix))
