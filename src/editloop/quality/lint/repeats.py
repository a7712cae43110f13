"""Samples that a data set has twice: equal ones, and nearly equal ones.

Sources are compared with sources and targets with targets. A near-duplicate has source, target and
instruction all near: crops of one photo, or other edits of it, are none.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict

from editloop.sources.hashes import PictureHash, text_hash

__all__ = ["Repeats"]

_BITS = 3  # of 64 that may differ
_BANDS = 4  # of 16 bits: two hashes within three bits share at least one


class Repeats:
    """Remembers samples, about one kilobyte each, and finds the earlier one that one repeats."""

    def __init__(self) -> None:
        self._exact: dict[bytes, str] = {}
        self._near: dict[bytes, list[tuple[int, int | None, str]]] = defaultdict(list)

    def seen(
        self, name: str, instruction: str, source: PictureHash, target: PictureHash | None
    ) -> tuple[str, str] | None:
        """Return the code and the id of the sample that this one repeats; remember it otherwise."""
        text = text_hash(instruction)
        pictures = f"{source.pixels} {None if target is None else target.pixels}"
        first = self._exact.setdefault(_key(text, pictures), name)
        if first != name:
            return "duplicate", first
        return self._like(source, target, text, name)

    def _like(
        self, source: PictureHash, target: PictureHash | None, text: str, name: str
    ) -> tuple[str, str] | None:
        if source.rough is None:
            return None
        goal = None if target is None else target.rough
        keys = [_key(text, at, source.rough >> (16 * at) & 0xFFFF) for at in range(_BANDS)]
        for key in keys:
            for rough, other, first in self._near[key]:
                if _apart(rough, source.rough) <= _BITS and _apart(other, goal) <= _BITS:
                    return "near-duplicate", first
        for key in keys:
            self._near[key].append((source.rough, goal, name))
        return None


def _key(*parts: object) -> bytes:
    return hashlib.blake2b(repr(parts).encode("utf-8"), digest_size=16).digest()


def _apart(one: int | None, two: int | None) -> int:
    """Return how many bits differ; two missing pictures are alike, one is not."""
    if one is None or two is None:
        return 0 if one is two else 64
    return (one ^ two).bit_count()
