"""The next pair to show: where an answer tells most, with a floor for every pair.

Pairs are drawn with probability  floor / pairs + (1 - floor) * information / total information,
which is logged, so that a study can be analysed with its sampling known. The expected information
of a pair is how much one more vote is expected to lower the summed variance of the scores.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from editloop.rating.davidson import TIE, Comparisons, Floats, fit_davidson, vote_informations

__all__ = ["PairChoice", "choose_pair", "pair_probabilities"]

_FLOOR = 0.3


@dataclass(frozen=True, slots=True)
class PairChoice:
    """An item and the editors to show first and second; `probability` is that of the pair."""

    item: int
    first: int
    second: int
    probability: float


def pair_probabilities(votes: Comparisons, floor: float = _FLOOR) -> dict[tuple[int, int], float]:
    """Return the probability of each pair (lower number first); they sum to 1.

    `floor` in 0..1 is the share that is spread evenly over all pairs.
    """
    pairs = list(combinations(range(votes.editors), 2))
    gain = np.array(_gains(votes, pairs))
    chances = floor / len(pairs) + (1 - floor) * gain / gain.sum()
    return dict(zip(pairs, map(float, chances), strict=True))


def choose_pair(
    votes: Comparisons,
    items: NDArray[np.intp],
    open_items: NDArray[np.intp],
    rng: np.random.Generator,
    floor: float = _FLOOR,
) -> PairChoice:
    """Return the next pair, shown in the order it was shown less often, on the item seen least.

    `items` [votes] are the items voted on, `open_items` those that the rater may still see: at
    least one. Equal counts are settled by the random generator.
    """
    chances = pair_probabilities(votes, floor)
    pairs = list(chances)
    one, two = pairs[rng.choice(len(pairs), p=list(chances.values()))]
    same = (votes.first == one) & (votes.second == two)
    turned = (votes.first == two) & (votes.second == one)
    counts = np.bincount(items[same | turned], minlength=int(open_items.max()) + 1)[open_items]
    item = int(rng.choice(open_items[counts == counts.min()]))
    lead = int(same.sum()) - int(turned.sum())
    swap = lead > 0 or (lead == 0 and rng.random() < 0.5)
    first, second = (two, one) if swap else (one, two)
    return PairChoice(item, first, second, chances[one, two])


def _gains(votes: Comparisons, pairs: list[tuple[int, int]]) -> list[float]:
    """Return the fall of the scores' summed variance that one vote on each pair brings.

    With the information H of all votes and I of one, it is the trace of
    H^-1 - (H + I)^-1 over the scores. One imagined tie a pair keeps H finite before the first vote.
    """
    every = np.array(pairs).T
    imagined = Comparisons(
        np.concatenate([votes.first, every[0]]),
        np.concatenate([votes.second, every[1]]),
        np.concatenate([votes.outcome, np.full(len(pairs), TIE)]),
        votes.editors,
    )
    fit = fit_davidson(imagined, position=False)
    extra = vote_informations(fit, every[0], every[1])
    before = _variance(fit.basis, fit.information)
    return [before - _variance(fit.basis, fit.information + each) for each in extra]


def _variance(basis: Floats, information: Floats) -> float:
    return float(np.trace(basis @ np.linalg.inv(information) @ basis.T))
