"""Hashes of pictures in memory, each taken once."""

from __future__ import annotations

from collections.abc import Callable

from editloop.images.codec import content_hash
from editloop.schema import Image

__all__ = ["picture_hashes"]


def picture_hashes() -> Callable[[Image | None], str | None]:
    """What hashes the pictures of samples that stay in memory meanwhile, each of them once.

    The source of a turn is often the target of the turn before.
    """
    hashes: dict[int, str] = {}

    def hashed(image: Image | None) -> str | None:
        if image is None:
            return None
        if id(image) not in hashes:
            hashes[id(image)] = content_hash(image.bytes)
        return hashes[id(image)]

    return hashed
