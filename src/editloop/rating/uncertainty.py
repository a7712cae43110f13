"""Intervals that respect who voted and on what: two-way clustered covariances, and rank intervals.

Votes of one rater, and votes on one item, are not independent. Intervals that ignore this are too
narrow: in simulated studies naive 95% intervals cover the true score in about three cases of four.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.stats import t as student

from editloop.rating.davidson import Comparisons, DavidsonFit, Floats, fit_davidson

__all__ = [
    "Covariance",
    "RankInterval",
    "naive_covariance",
    "pigeonhole_scores",
    "rank_intervals",
    "score_intervals",
    "two_way_covariance",
    "two_way_mean",
]

Groups = NDArray[np.intp]
LEVEL = 0.95
_DRAWS = 4_000


@dataclass(frozen=True, slots=True)
class Covariance:
    """A covariance matrix with the degrees of freedom of intervals from it."""

    matrix: Floats
    freedom: float

    def projected(self, basis: Floats) -> Covariance:
        """Return the covariance of `basis` [outputs, inputs] times the inputs."""
        return Covariance(basis @ self.matrix @ basis.T, self.freedom)

    @property
    def half_widths(self) -> Floats:
        """Half the widths of the 95% intervals."""
        errors = np.sqrt(np.maximum(np.diag(self.matrix), 0))
        widths: Floats = student.ppf((1 + LEVEL) / 2, self.freedom) * errors
        return widths


@dataclass(frozen=True, slots=True)
class RankInterval:
    """The best and the worst rank that an editor may have; 1 is the best."""

    low: int
    high: int


def two_way_covariance(
    influences: Floats, information: Floats, items: Groups, raters: Groups
) -> Covariance:
    """Return the sandwich covariance of parameters, clustered by item and by rater.

    It is V_item + V_rater - V_item,rater (Cameron, Gelbach and Miller, 2011, eq. 2.3), each with
    the factor G / (G - 1) of its number of clusters G, with negative eigenvalues set to zero.
    Degrees of freedom: the smaller number of clusters less one. A way with a single cluster is left
    out, as its variation cannot be seen.
    """
    ways = [each for each in (items, raters) if len(np.unique(each)) > 1]
    meat = np.zeros_like(information)
    for each in ways:
        meat += _meat(influences, each)
    if len(ways) == 2:
        meat -= _meat(influences, items * (raters.max() + 1) + raters)
    elif not ways:
        meat = influences.T @ influences
    values, vectors = np.linalg.eigh(meat)
    meat = (vectors * np.maximum(values, 0)) @ vectors.T
    bread = np.linalg.inv(information).astype(np.float64)
    fewest = min((len(np.unique(each)) for each in ways), default=len(influences))
    return Covariance(bread @ meat @ bread, max(1, fewest - 1))


def naive_covariance(fit: DavidsonFit) -> Covariance:
    """Return the covariance of scores that holds if all votes were independent."""
    matrix = np.linalg.inv(fit.information).astype(np.float64)
    return Covariance(matrix, np.inf).projected(fit.basis)


def score_intervals(fit: DavidsonFit, items: Groups, raters: Groups) -> Covariance:
    """Return the two-way clustered covariance of the scores, [editors, editors]."""
    found = two_way_covariance(fit.influences, fit.information, items, raters)
    return found.projected(fit.basis)


def two_way_mean(values: Floats, items: Groups, raters: Groups) -> tuple[float, float, float]:
    """Return the mean of ratings with the two-way clustered 95% interval: mean, low, high."""
    mean = float(values.mean())
    gradient = (values - mean)[:, None]
    information = np.array([[float(len(values))]])
    half = float(two_way_covariance(gradient, information, items, raters).half_widths[0])
    return mean, mean - half, mean + half


def rank_intervals(
    scores: Floats, covariance: Covariance, rng: np.random.Generator
) -> list[RankInterval]:
    """Return rank intervals that hold for all editors at once with 95% confidence.

    All differences of scores get simultaneous intervals (the largest |t| of their joint
    distribution); an editor's rank lies between the number of editors that are surely better and of
    those that are surely worse (Klein, Wright and Wieczorek, 2020).
    """
    count = len(scores)
    upper = np.triu_indices(count, 1)
    contrast = np.eye(count)[upper[0]] - np.eye(count)[upper[1]]
    errors = np.sqrt(np.maximum(np.diag(contrast @ covariance.matrix @ contrast.T), 1e-30))
    draws = rng.multivariate_normal(
        np.zeros(count), covariance.matrix, _DRAWS, method="eigh", check_valid="ignore"
    )
    if np.isfinite(covariance.freedom):
        draws /= np.sqrt(rng.chisquare(covariance.freedom, (_DRAWS, 1)) / covariance.freedom)
    limit = np.quantile(np.abs(draws @ contrast.T / errors).max(axis=1), LEVEL)
    distance = contrast @ scores / errors
    better = np.zeros((count, count), bool)  # row is surely better than column
    better[upper] = distance > limit
    better.T[upper] = distance < -limit
    worse_than = better.sum(axis=0)
    return [
        RankInterval(1 + int(worse_than[each]), count - int(better[each].sum()))
        for each in range(count)
    ]


def pigeonhole_scores(
    votes: Comparisons,
    fit: DavidsonFit,
    items: Groups,
    raters: Groups,
    *,
    resamples: int,
    rng: np.random.Generator,
) -> Floats:
    """Return scores [resamples, editors] under the pigeonhole bootstrap (Owen, 2007).

    Items and raters are resampled independently; a vote counts the product of how often its item
    and its rater were drawn. Resamples in which no vote is left are NaN.
    """
    drawn = _multiplicities(items, resamples, rng) * _multiplicities(raters, resamples, rng)
    found = np.full((resamples, votes.editors), np.nan)
    for at, weights in enumerate(drawn):
        left = votes.where(weights > 0)
        if len(left):
            again = fit_davidson(
                left, position=fit.position is not None, weights=weights[weights > 0]
            )
            found[at] = again.scores
    return found


def _multiplicities(groups: Groups, resamples: int, rng: np.random.Generator) -> Floats:
    """Return how often each vote's group is drawn; [resamples, votes]."""
    _, index = np.unique(groups, return_inverse=True)
    count = int(index.max()) + 1
    drawn = rng.multinomial(count, np.full(count, 1 / count), size=resamples)
    return drawn[:, index].astype(np.float64)


def _meat(influences: Floats, groups: Groups) -> Floats:
    """Return the outer products of the sums of the influences in each group, corrected."""
    _, index = np.unique(groups, return_inverse=True)
    count = int(index.max()) + 1
    member = csr_array((np.ones(len(index)), (index, np.arange(len(index)))))
    sums = member @ influences
    product: Floats = sums.T @ sums * (count / (count - 1) if count > 1 else 1.0)
    return product
