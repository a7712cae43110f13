"""A data set's samples as pairs for metrics: the target takes the place of the edited picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from editloop.errors import ImageError
from editloop.images.codec import decode, decode_mask
from editloop.metrics.embeddings import Embeddings
from editloop.metrics.metric_set import Chosen, MetricSet
from editloop.quality.chunks import gathered, stored_bytes
from editloop.schema import (
    Captions,
    Cause,
    EditedPair,
    EditSample,
    Image,
    Mask,
    Pixels,
    Score,
    Unscored,
)

__all__ = ["measure_samples"]

_BATCH = 32
_BATCH_BYTES = 64_000_000  # of encoded pictures; decoded they are several times as large
_EMPTY: Pixels = np.empty((0, 0, 3), np.uint8)
_NO_TARGET = "the sample has no target"


def measure_samples(
    samples: Sequence[EditSample], metrics: Mapping[str, Chosen], embeddings: Embeddings
) -> Iterator[dict[str, Score | Unscored]]:
    """Yield every metric of each sample, by name, in order; one batch of pictures is in memory.

    For a sample without a target only metrics that use neither target nor edited picture score.
    """
    everything = MetricSet(metrics)
    of_sources = MetricSet(
        {
            name: each
            for name, each in metrics.items()
            if not each.metric.needs & {"edited", "target"}
        }
    )
    for batch in gathered(samples, _BATCH, _BATCH_BYTES, count=lambda _: 1, weigh=stored_bytes):
        pairs = _Pairs(everything.needs)
        made = [(sample, pairs.of(sample)) for sample in batch]
        with embeddings.held():
            whole = _measured(everything, [pair for sample, pair in made if sample.target])
            partly = _measured(of_sources, [pair for sample, pair in made if not sample.target])
        for sample, pair in made:
            if isinstance(pair, str):
                yield dict.fromkeys(metrics, Unscored(pair, cause=Cause.MISSING_INPUT))
            elif sample.target is None:
                yield {
                    **dict.fromkeys(metrics, Unscored(_NO_TARGET, cause=Cause.MISSING_INPUT)),
                    **next(partly),
                }
            else:
                yield next(whole)


def _measured(
    metrics: MetricSet, pairs: Sequence[EditedPair | str]
) -> Iterator[dict[str, Score | Unscored]]:
    readable = [pair for pair in pairs if isinstance(pair, EditedPair)]
    return iter(metrics.measure(readable) if readable else [])


class _Pairs:
    """Makes the pairs of a batch with the fields needed; shared pictures are decoded once."""

    def __init__(self, needs: frozenset[str]) -> None:
        self._needs = needs
        self._pixels: dict[int, Pixels] = {}

    def of(self, sample: EditSample) -> EditedPair | str:
        """Return the pair of a sample, or the reason why it has none."""
        try:
            target = self._picture(sample.target, {"edited", "target"})
            source = self._picture(sample.source, {"source"})
            return EditedPair(
                id=sample.id,
                source=_EMPTY if source is None else source,
                instruction=sample.instruction,
                edited=_EMPTY if target is None else target,
                target=target,
                mask=self._mask(sample.mask),
                captions=Captions(sample.source_caption, sample.target_caption),
                edit_type=sample.edit_type,
            )
        except ImageError as error:
            return f"a picture cannot be read: {error.cause}"

    def _picture(self, image: Image | None, fields: set[str]) -> Pixels | None:
        if image is None or not fields & self._needs:
            return None
        if id(image) not in self._pixels:
            self._pixels[id(image)] = decode(image.bytes)
        return self._pixels[id(image)]

    def _mask(self, image: Image | None) -> Mask | None:
        return None if image is None or "mask" not in self._needs else decode_mask(image.bytes)
