"""A data set's quality table, summed up chunk by chunk from its samples' numbers."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from editloop.errors import UnavailableError
from editloop.quality.chunks import DataChunk
from editloop.runtime.seeding import generator
from editloop.schema import EditSample, Json
from editloop.sources.columns import COLUMNS
from editloop.sources.notices import has_global_caption, listed
from editloop.statistics.means import slice_rows
from editloop.statistics.running_means import RunningMeans

__all__ = ["DataSummary", "own_label"]

_MOST_LABELS = 50  # with more labels of a data set's own, they cannot be kinds of edits
_ALL = ("", "")  # the slice of all samples; other slices are an axis and a value


class DataSummary:
    """Sums up chunks with their numbers."""

    def __init__(self, metrics: Sequence[str], seed: int, resamples: int) -> None:
        self._metrics = tuple(metrics)
        self._seed = seed
        self._means = RunningMeans(metrics, resamples)
        self._sessions = 0
        self._counts: dict[str, Counter[str]] = {"type": Counter(), "label": Counter()}
        self._content = hashlib.sha256()
        self._same_captions: list[str] = []

    def add(self, chunk: DataChunk, numbers: Mapping[str, pa.Table]) -> None:
        """Add a chunk's samples; metrics that are not in `numbers` stay NaN."""
        groups = [sample.session or sample.id for sample in chunk.samples]
        self._sessions += len(set(groups))
        self._content.update(chunk.digest.encode())
        self._same_captions += [each.id for each in chunk.samples if has_global_caption(each)]
        values = np.full((len(groups), len(self._metrics)), np.nan)
        for at, metric in enumerate(self._metrics):
            if metric in numbers:
                values[:, at] = numbers[metric]["value"].to_numpy(zero_copy_only=False)
                self._means.explain(metric, numbers[metric]["reason"].drop_null().to_pylist())
        rng = generator(self._seed, "quality", chunk.index)
        self._means.add(values, groups, self._slices(chunk.samples), rng)

    def results(self, missing: Mapping[str, UnavailableError]) -> dict[str, Json]:
        """Return counts, and the means of all samples and of each kind of edit.

        `slices.type` is by edit type, `slices.label` by the data set's own kinds if they differ.
        """
        axes = {axis: counts for axis, counts in self._counts.items() if counts}
        if axes.get("label") == axes.get("type") or len(self._counts["label"]) > _MOST_LABELS:
            axes.pop("label", None)
        return {
            "samples": self._means.cases(_ALL),
            "sessions": self._sessions,
            "content": self._content.hexdigest()[:16],
            "same_captions": listed(self._same_captions),
            "counts": {axis: dict(sorted(counts.items())) for axis, counts in axes.items()},
            "quality": self._summary(_ALL, missing),
            "slices": {
                axis: {value: self._summary((axis, value), missing) for value in sorted(counts)}
                for axis, counts in axes.items()
            },
        }

    def _slices(self, samples: Sequence[EditSample]) -> dict[Hashable, NDArray[np.intp]]:
        slices: dict[Hashable, NDArray[np.intp]] = {_ALL: np.arange(len(samples))}
        labels = {
            "type": [None if each.edit_type is None else each.edit_type.value for each in samples],
            "label": [own_label(sample) for sample in samples],
        }
        for axis, counts in self._counts.items():
            for value, rows in slice_rows(labels[axis]).items():
                if value in counts or len(counts) <= _MOST_LABELS:
                    counts[value] += len(rows)
                    slices[axis, value] = rows
        return slices

    def _summary(self, name: Hashable, missing: Mapping[str, UnavailableError]) -> dict[str, Json]:
        found = self._means.summary(name)
        for metric, error in missing.items():
            found[metric] = {"mean": None, "reason": error.cause, "command": error.command}
        return found


def own_label(sample: EditSample) -> str | None:
    """Return the data set's own name for the kind of a sample's edit."""
    made = {} if sample.provenance is None else sample.provenance.parameters
    labels = (made.get(column) for column in COLUMNS["edit_type"])
    return next((label for label in labels if isinstance(label, str)), None)
