"""Data sets in chunks: the unit that is read, measured and committed at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

from editloop.images.hashes import picture_hashes
from editloop.schema import EditSample
from editloop.storage.records import fingerprint

__all__ = ["DataChunk", "gathered", "read_data_chunks", "stored_bytes"]

_Item = TypeVar("_Item")

_SAMPLES = 256
_BYTES = 64_000_000


@dataclass(frozen=True, slots=True)
class DataChunk:
    """Whole sessions in the data set's order; `digest` covers everything that metrics read."""

    index: int
    samples: tuple[EditSample, ...]
    digest: str

    def without_pictures(self) -> DataChunk:
        """Return the chunk's samples with everything but their pictures."""
        bare = (
            replace(each, source=None, target=None, mask=None, references=())
            for each in self.samples
        )
        return replace(self, samples=tuple(bare))


def read_data_chunks(sessions: Iterable[list[EditSample]]) -> Iterator[DataChunk]:
    """Yield chunks of about 256 samples or 64 MB of pictures, whichever is reached first."""
    chunks = gathered(sessions, _SAMPLES, _BYTES, count=len, weigh=_weight)
    for index, chunk in enumerate(chunks):
        samples = tuple(sample for session in chunk for sample in session)
        yield DataChunk(index, samples, _digest(samples))


def gathered(
    items: Iterable[_Item],
    most: int,
    most_bytes: int,
    *,
    count: Callable[[_Item], int],
    weigh: Callable[[_Item], int],
) -> Iterator[list[_Item]]:
    """Yield consecutive items in groups within a count and a weight; a larger item is alone."""
    run: list[_Item] = []
    counted = weighed = 0
    for item in items:
        own_count, own_weight = count(item), weigh(item)
        if run and (counted + own_count > most or weighed + own_weight > most_bytes):
            yield run
            run, counted, weighed = [], 0, 0
        run.append(item)
        counted += own_count
        weighed += own_weight
    if run:
        yield run


def stored_bytes(sample: EditSample) -> int:
    """Return the size in bytes of a sample's encoded pictures."""
    images = (sample.source, sample.target, sample.mask)
    return sum(len(image.bytes) for image in images if image is not None)


def _weight(session: list[EditSample]) -> int:
    return sum(map(stored_bytes, session))


def _digest(samples: Iterable[EditSample]) -> str:
    hashed = picture_hashes()
    return fingerprint(
        [
            [
                *(hashed(image) for image in (sample.source, sample.target, sample.mask)),
                *(sample.instruction, sample.source_caption, sample.target_caption),
                sample.edit_type,
            ]
            for sample in samples
        ]
    )
