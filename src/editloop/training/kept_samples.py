"""Training samples without some of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from editloop.models.inputs import EditInputs
from editloop.training.edits import Samples

__all__ = ["KeptSamples", "without"]


@dataclass(frozen=True, slots=True, eq=False)
class KeptSamples:
    """Samples without the `dropped` ones, whose numbers no bucket has; the others keep theirs."""

    samples: Samples
    dropped: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.samples) - len(self.dropped)

    @property
    def buckets(self) -> Sequence[NDArray[np.int64]]:
        kept = [each[~np.isin(each, self.dropped)] for each in self.samples.buckets]
        return tuple(each for each in kept if len(each))

    def read(
        self, samples: NDArray[np.int64], seeds: Sequence[int] | None
    ) -> tuple[Tensor, EditInputs]:
        return self.samples.read(samples, seeds)

    def shape(self, sample: int) -> tuple[int, int, int]:
        return self.samples.shape(sample)

    def blanks(self, sample: int) -> Mapping[str, Tensor]:
        return self.samples.blanks(sample)


def without(samples: Samples, dropped: tuple[int, ...]) -> Samples:
    """Return the samples without those of some numbers."""
    return KeptSamples(samples, dropped) if dropped else samples
