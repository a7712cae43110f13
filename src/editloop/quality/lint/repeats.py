"""Samples that a data set has twice: equal ones, and nearly equal ones.

Sources are compared with sources and targets with targets. A near-duplicate has source, target and
instruction all near: crops of one photo, or other edits of it, are none. Memory: some 100 bytes a
sample.
"""

from __future__ import annotations

from collections import defaultdict

from editloop.schema import EditSample
from editloop.sources.hashes import PictureHash, picture_hash, text_hash

__all__ = ["Repeats"]

_BITS = 3  # of 64 that may differ
_BANDS = 4  # of 16 bits: two hashes within three bits share at least one


class Repeats:
    """Remembers samples and finds the earlier one that a sample repeats."""

    def __init__(self) -> None:
        self._exact: dict[tuple[str, str, str], str] = {}
        self._near: dict[tuple[str, int, int], list[tuple[int, int | None, str]]] = defaultdict(
            list
        )

    def seen(self, sample: EditSample) -> tuple[str, str] | None:
        """Return the code and the id of the sample that this one repeats; remember it otherwise."""
        source, target = (
            None if image is None else picture_hash(image)
            for image in (sample.source, sample.target)
        )
        if source is None:
            return None
        text = text_hash(sample.instruction)
        key = (source.pixels, "" if target is None else target.pixels, text)
        first = self._exact.setdefault(key, sample.id)
        if first != sample.id:
            return "duplicate", first
        return self._like(source, target, text, sample.id)

    def _like(
        self, source: PictureHash, target: PictureHash | None, text: str, name: str
    ) -> tuple[str, str] | None:
        if source.rough is None:
            return None
        goal = None if target is None else target.rough
        keys = [(text, at, source.rough >> (16 * at) & 0xFFFF) for at in range(_BANDS)]
        for key in keys:
            for rough, other, first in self._near[key]:
                if _apart(rough, source.rough) <= _BITS and _apart(other, goal) <= _BITS:
                    return "near-duplicate", first
        for key in keys:
            self._near[key].append((source.rough, goal, name))
        return None


def _apart(one: int | None, two: int | None) -> int:
    """Return how many bits differ; two missing pictures are alike, one is not."""
    if one is None or two is None:
        return 0 if one is two else 64
    return (one ^ two).bit_count()
