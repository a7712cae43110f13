"""Agreement of raters: Krippendorff's alpha, and the agreement of raters with themselves.

alpha = 1 - observed / expected disagreement (Krippendorff, Content Analysis, 2004, chapter 11).
1 is perfect agreement, 0 is chance. Units with one answer say nothing about agreement and are left
out, so raters need not all answer everything.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from editloop.rating.davidson import Floats

__all__ = ["Level", "krippendorff_alpha", "resampled_alpha"]

Level = Literal["nominal", "ordinal", "interval"]


def krippendorff_alpha(counts: Floats, level: Level, values: Floats | None = None) -> float:
    """Return alpha of answers counted by unit and category; NaN without any disagreement possible.

    `counts` [units, categories] says how many raters gave a unit each answer. Categories of ordinal
    answers are in their order; interval answers have the numbers `values` [categories].
    """
    return float(_alpha(_coincidences(counts).sum(axis=0)[None], level, values)[0])


def resampled_alpha(
    counts: Floats,
    level: Level,
    groups: NDArray[np.intp],
    weights: Floats,
    values: Floats | None = None,
) -> Floats:
    """Return alpha in each resample; `weights` [resamples, groups], `groups` [units]."""
    each = _coincidences(counts)
    by_group = np.zeros((weights.shape[1], *each.shape[1:]))
    np.add.at(by_group, groups, each)
    return _alpha(np.tensordot(weights, by_group, axes=1), level, values)


def _coincidences(counts: Floats) -> Floats:
    """Return each unit's coincidences of answers: [units, categories, categories]."""
    total = counts.sum(axis=1)
    pairs = counts[:, :, None] * counts[:, None, :]
    diagonal = np.arange(counts.shape[1])
    pairs[:, diagonal, diagonal] -= counts
    scale = np.where(total > 1, 1 / np.maximum(total - 1, 1), 0)
    return pairs * scale[:, None, None]


def _alpha(coincidences: Floats, level: Level, values: Floats | None) -> Floats:
    """Return alpha of coincidence matrices [resamples, categories, categories]."""
    marginals = coincidences.sum(axis=2)
    total = marginals.sum(axis=1)
    distance = _distances(marginals, level, values)
    observed = (coincidences * distance).sum(axis=(1, 2))
    expected = np.einsum("rc,rk,rck->r", marginals, marginals, distance)
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Floats = 1 - (total - 1) * observed / expected
    found[expected <= 0] = np.nan
    return found


def _distances(marginals: Floats, level: Level, values: Floats | None) -> Floats:
    """Return the squared differences of categories; [resamples or 1, categories, categories]."""
    size = marginals.shape[1]
    if level == "nominal":
        return 1 - np.eye(size)[None]
    if level == "interval":
        assert values is not None
        return ((values[:, None] - values[None, :]) ** 2)[None]
    # ordinal: the number of answers between two categories, with half of those at its ends
    below = np.cumsum(marginals, axis=1) - marginals / 2
    difference: Floats = (below[:, :, None] - below[:, None, :]) ** 2
    return difference
