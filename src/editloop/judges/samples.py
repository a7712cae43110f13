"""Conversion of a data set's sample to an `EditedPair` whose edited picture is the sample's target.

The true target is known only for darkroom samples: it is rendered from their record without the
faults. A record that renders a different source does not belong to the sample and is not used.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from editloop.darkroom.develop import GENERATOR, replay
from editloop.errors import EditLoopError, ImageError
from editloop.images.codec import decode, decode_mask
from editloop.schema import Captions, EditedPair, EditSample, Pixels
from editloop.sources.taxonomies import own_kind

__all__ = ["SamplePair", "sample_pair"]


@dataclass(frozen=True, slots=True)
class SamplePair:
    """A sample as a pair, or the `reason` for none; `unknown` is why its true target is unknown."""

    pair: EditedPair | None
    reason: str = ""
    unknown: str = ""

    @property
    def weight(self) -> int:
        """The number of bytes that the pixels take in memory."""
        if self.pair is None:
            return 0
        pictures = (self.pair.source, self.pair.edited, self.pair.target, self.pair.mask)
        return sum(picture.nbytes for picture in pictures if picture is not None)


def sample_pair(sample: EditSample) -> SamplePair:
    """Return the sample as a pair, or the reason why it cannot be one."""
    if sample.target is None:
        return SamplePair(None, "the sample has no target")
    try:
        source, edited = decode(sample.source_image.bytes), decode(sample.target.bytes)
        mask = None if sample.mask is None else decode_mask(sample.mask.bytes)
    except ImageError as error:
        return SamplePair(None, f"a picture cannot be read: {error.cause}")
    truth = _truth(sample, source)
    pair = EditedPair(
        id=sample.id,
        source=source,
        instruction=sample.instruction,
        edited=edited,
        target=None if isinstance(truth, str) else truth,
        mask=mask,
        captions=Captions(sample.source_caption, sample.target_caption),
        edit_type=sample.edit_type,
        group=own_kind(sample),
    )
    return SamplePair(pair, unknown=truth if isinstance(truth, str) else "")


def _truth(sample: EditSample, source: Pixels) -> Pixels | str:
    """Return the true target of the edit, or why it is unknown."""
    made = sample.provenance
    if made is None or made.generator != GENERATOR:
        return "no true target is known: the darkroom did not make this sample"
    try:
        rendered = replay(made)
    except EditLoopError as error:
        return f"the true target cannot be rendered: {error.cause}"
    if not np.array_equal(rendered.source, source):
        return "the true target cannot be rendered: the record is of another source"
    return rendered.target
