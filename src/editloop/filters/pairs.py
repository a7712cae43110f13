"""Samples as pairs for metrics, with pictures that are decoded once and freed in time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from editloop.images.codec import decode, decode_mask
from editloop.schema import Captions, EditedPair, EditSample, Image, Mask, Pixels

__all__ = ["DecodedPairs"]

_BYTES = 256_000_000  # of pixels in memory at a time
_EMPTY: Pixels = np.empty((0, 0, 3), np.uint8)


class DecodedPairs:
    """Makes pairs whose edited picture is the sample's target.

    Equal pictures are decoded once while all of them fit into memory.
    """

    def __init__(self) -> None:
        self._pixels: dict[bytes, Pixels] = {}
        self._held = 0

    def groups(
        self, samples: Sequence[EditSample], needs: frozenset[str]
    ) -> Iterator[list[EditedPair]]:
        """Yield the pairs, with the pictures in `needs`, in groups that fit into memory.

        Raises ImageError if a picture cannot be read.
        """
        group: list[EditedPair] = []
        for sample in samples:
            if self._held >= _BYTES:
                if group:
                    yield group
                group = []
                self.free()
            group.append(self._pair(sample, needs))
        if group:
            yield group

    def free(self) -> None:
        """Forget all decoded pictures."""
        self._pixels.clear()
        self._held = 0

    def _pair(self, sample: EditSample, needs: frozenset[str]) -> EditedPair:
        return EditedPair(
            id=sample.id,
            source=self._picture(sample.source) if "source" in needs else _EMPTY,
            instruction=sample.instruction,
            edited=self._picture(sample.target) if "edited" in needs else _EMPTY,
            mask=_mask(sample.mask) if "mask" in needs else None,
            captions=Captions(sample.source_caption, sample.target_caption),
            edit_type=sample.edit_type,
        )

    def _picture(self, image: Image | None) -> Pixels:
        assert image is not None  # the step needs it
        if image.bytes not in self._pixels:
            pixels = self._pixels[image.bytes] = decode(image.bytes)
            self._held += pixels.nbytes
        return self._pixels[image.bytes]


def _mask(image: Image | None) -> Mask | None:
    return None if image is None else decode_mask(image.bytes)
