"""Tests of how much a ranking rests on single raters and few votes, and of circular preferences."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from editloop.rating.davidson import Comparisons, DavidsonFit, components, fit_davidson

__all__ = ["Cycle", "FewVotes", "RaterInfluence", "circular", "few_votes", "without_each_rater"]

_ROUNDS = 8  # of dropping votes until the leader changes


@dataclass(frozen=True, slots=True)
class RaterInfluence:
    """A rater's influence: the largest change of a score without them, and whether ranks change."""

    rater: int
    shift: float
    leader_changes: bool
    order_changes: bool


@dataclass(frozen=True, slots=True)
class FewVotes:
    """Votes whose removal makes `challenger` the leader: their number and share of all votes."""

    challenger: int
    votes: int
    share: float


@dataclass(frozen=True, slots=True)
class Cycle:
    """Three editors of which each is preferred to the next one, and the last to the first.

    `weakest` is the smallest of the three margins in standard errors of a fair coin: below 2 it may
    be chance.
    """

    editors: tuple[int, int, int]
    weakest: float


def without_each_rater(
    votes: Comparisons, fit: DavidsonFit, raters: NDArray[np.intp]
) -> list[RaterInfluence]:
    """Return each rater's influence on the scores, the largest first.

    A rater without whom the editors are not connected any more has infinite influence.
    """
    order = _order(fit)
    found = []
    for rater in np.unique(raters):
        left = votes.where(raters != rater)
        if not len(left) or len(components(left)) > 1:
            found.append(RaterInfluence(int(rater), np.inf, True, True))
            continue
        again = fit_davidson(left, position=fit.position is not None)
        own = _order(again)
        shift = float(np.abs(again.scores - fit.scores).max())
        found.append(RaterInfluence(int(rater), shift, own[0] != order[0], own != order))
    return sorted(found, key=lambda each: (-each.shift, each.rater))


def few_votes(votes: Comparisons, fit: DavidsonFit) -> FewVotes | None:
    """Return the fewest votes found whose removal gives the first rank to another editor.

    Votes are chosen by their influence on the difference of two scores (Broderick, Giordano and
    Meager, 2020), and each finding is checked by fitting the remaining votes. None if no editor
    gets there with fewer than half of the votes.
    """
    leader, *others = _order(fit)
    found = [each for other in others if (each := _overtaking(votes, fit, leader, other))]
    return min(found, key=lambda each: each.votes, default=None)


def circular(votes: Comparisons) -> list[Cycle]:
    """Return the circles of three editors in the majorities of their pairs, the surest first."""
    wins = votes.wins
    total = wins + wins.T
    with np.errstate(invalid="ignore", divide="ignore"):
        margin = (wins - wins.T) / np.sqrt(total)
    found = []
    for one, two, three in combinations(range(votes.editors), 3):
        for circle in ((one, two, three), (one, three, two)):
            edges = [margin[a, b] for a, b in zip(circle, (*circle[1:], circle[0]), strict=True)]
            if all(each > 0 for each in edges):
                found.append(Cycle(circle, float(min(edges))))
    return sorted(found, key=lambda each: -each.weakest)


def _order(fit: DavidsonFit) -> list[int]:
    return [int(each) for each in np.argsort(-fit.scores, kind="stable")]


def _overtaking(votes: Comparisons, fit: DavidsonFit, leader: int, other: int) -> FewVotes | None:
    contrast = fit.basis[leader] - fit.basis[other]
    effects = fit.influences @ np.linalg.solve(fit.information, contrast)
    strongest = np.argsort(-effects, kind="stable")
    gap = float(fit.scores[leader] - fit.scores[other])
    sums = np.cumsum(effects[strongest])
    count = int(np.searchsorted(sums, gap)) + 1
    for _ in range(_ROUNDS):
        if count > len(votes) // 2:
            return None
        kept = np.ones(len(votes), bool)
        kept[strongest[:count]] = False
        left = votes.where(kept)
        if len(components(left)) == 1:
            again = fit_davidson(left, position=fit.position is not None)
            if again.scores[other] > again.scores[leader]:
                return FewVotes(other, count, count / len(votes))
        count += max(1, count // 10)
    return None
