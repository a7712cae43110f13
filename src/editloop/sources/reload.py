"""Reloading of a sample's original picture from its provenance."""

from __future__ import annotations

from editloop.errors import ChangedError, StoreError
from editloop.images.codec import content_hash, decode
from editloop.schema import Pixels, Provenance
from editloop.sources.crops import Crop
from editloop.sources.files import path_of, read_file
from editloop.sources.scenes import SCENES, photo

__all__ = ["reload"]


def reload(provenance: Provenance) -> Pixels:
    """Return the same pixels that a source cropped, by `source_uri` and `parameters["crop"]`.

    Raises ChangedError if the file is missing or was changed, StoreError if the provenance names no
    picture, UnavailableError if a bundled photo is not installed.
    """
    crop = provenance.parameters.get("crop")
    if provenance.source_uri is None or crop is None:
        raise StoreError(
            "the provenance does not contain the original picture of a sample",
            value=provenance.generator,
            fix="use samples from a source of this package",
        )
    return Crop.from_json(crop).cut(_picture(provenance.source_uri, provenance))


def _picture(uri: str, provenance: Provenance) -> Pixels:
    scheme, _, name = uri.partition(":")
    if scheme == "photos" and name in SCENES:
        return photo(name)
    if scheme == "file":
        return _unchanged(uri, provenance.parameters.get("sha256"))
    raise StoreError("the provenance has a picture URI of an unknown kind", value=uri)


def _unchanged(uri: str, digest: str | None) -> Pixels:
    path = path_of(uri)
    try:
        data = read_file(path)
    except OSError as error:
        raise ChangedError(
            "a picture that the data was made from is missing", value=path, fix="restore it"
        ) from error
    if content_hash(data) != digest:  # a record without one could name any file
        raise ChangedError(
            "a picture changed since the data was made from it",
            value=path,
            fix="restore the old file, or build the data again",
        )
    return decode(data)
