"""Hashes of pictures in memory, each computed once."""

from __future__ import annotations

from collections.abc import Callable

from editloop.images.codec import content_hash
from editloop.schema import Image

__all__ = ["picture_hashes"]


def picture_hashes() -> Callable[[Image | None], str | None]:
    """Return a function that hashes each picture once; the pictures must stay in memory.

    The source of a turn is often the target of the turn before, so repeats are common.
    """
    hashes: dict[int, str] = {}

    def hashed(image: Image | None) -> str | None:
        if image is None:
            return None
        if id(image) not in hashes:
            hashes[id(image)] = content_hash(image.bytes)
        return hashes[id(image)]

    return hashed
