"""The samples of a data set that people rated, as pairs to judge."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from editloop.judges.samples import sample_pair
from editloop.schema import EditedPair
from editloop.sources.layouts import Layout

__all__ = ["rated_pairs"]


def rated_pairs(data: Layout, ids: Collection[str]) -> Iterator[tuple[EditedPair, str]]:
    """Yield the pairs of some ids with their ids, skipping missing and unreadable ones."""
    for session in data.sessions():
        for sample in session:
            if sample.id in ids:
                pair = sample_pair(sample).pair
                if pair is not None:
                    yield pair, sample.id
