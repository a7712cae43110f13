"""The original picture of a sample again, from the record of where it came from."""

from __future__ import annotations

from editloop.errors import ChangedError, StoreError
from editloop.images.codec import content_hash, decode
from editloop.schema import Pixels, Provenance
from editloop.sources.crops import Crop
from editloop.sources.files import path_of, read_file
from editloop.sources.scenes import SCENES, photo

__all__ = ["reload"]


def reload(provenance: Provenance) -> Pixels:
    """The crop that a source made, from `source_uri` and `parameters["crop"]`: the same pixels.

    Raises ChangedError if the file is gone or is no longer the one that was read, StoreError if the
    record names no picture, UnavailableError if a bundled photo is not installed.
    """
    crop = provenance.parameters.get("crop")
    if provenance.source_uri is None or crop is None:
        raise StoreError(
            "the record does not say which picture a sample was made from",
            value=provenance.generator,
            fix="use samples that a source of this package made",
        )
    return Crop.from_json(crop).cut(_picture(provenance.source_uri, provenance))


def _picture(uri: str, provenance: Provenance) -> Pixels:
    scheme, _, name = uri.partition(":")
    if scheme == "photos" and name in SCENES:
        return photo(name)
    if scheme == "file":
        return _unchanged(uri, provenance.parameters.get("sha256"))
    raise StoreError("a record names a picture of an unknown kind", value=uri)


def _unchanged(uri: str, digest: str | None) -> Pixels:
    path = path_of(uri)
    try:
        data = read_file(path)
    except OSError as error:
        raise ChangedError(
            "a picture that the data was made from is gone", value=path, fix="put it back"
        ) from error
    if digest is not None and content_hash(data) != digest:
        raise ChangedError(
            "a picture changed since the data was made from it",
            value=path,
            fix="put the old file back, or build the data again",
        )
    return decode(data)
