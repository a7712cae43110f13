"""The samples of a data set that people rated, as judges see them."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from editloop.judges.samples import sample_pair
from editloop.schema import EditedPair
from editloop.sources.layouts import Layout

__all__ = ["rated_pairs"]


def rated_pairs(data: Layout, ids: Collection[str]) -> Iterator[tuple[EditedPair, str]]:
    """The pairs of some ids, as far as they are there and can be read, each with its id."""
    for session in data.sessions():
        for sample in session:
            if sample.id in ids:
                pair = sample_pair(sample).pair
                if pair is not None:
                    yield pair, sample.id
