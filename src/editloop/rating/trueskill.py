"""TrueSkill as UltraEdit ranks editors with it (arXiv:2407.05282, appendix D.1), and its spread.

TrueSkill (Herbrich, Minka and Graepel, 2006) updates two editors after each vote, so its scores
depend on the order of the votes, and its sigma settles at a floor that more votes do not lower. It
is shown beside Davidson's model with both facts measured, never as the ranking.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, ndtr, ndtri

from editloop.rating.davidson import SECOND, TIE, Comparisons, Floats
from editloop.statistics.bootstrap import PERCENTILES

__all__ = ["SkillSummary", "skills", "trueskill_summary"]

MEAN = 25.0
DEVIATION = MEAN / 3
PERFORMANCE = DEVIATION / 2  # beta, the deviation of one vote
DRIFT = DEVIATION / 100  # tau, added before each vote
DRAW = 0.10  # probability of a draw
_SHUFFLES = 20
_RESAMPLES = 200


@dataclass(frozen=True, slots=True)
class SkillSummary:
    """Arrays [editors]: `mu` and `sigma` as UltraEdit prints them, in the order of the votes.

    `shuffled` is the mean over shuffled orders without drift, `order_spread` the standard deviation
    over orders with the default drift, `low` and `high` are the 95% interval of a bootstrap over
    items without drift. Only differences of scores mean anything, and the first votes move them all
    together, so these are of scores moved to a common mean of 25.
    """

    mu: Floats
    sigma: Floats
    shuffled: Floats
    order_spread: Floats
    low: Floats
    high: Floats


def skills(
    votes: Comparisons, orders: NDArray[np.intp], *, drift: float = DRIFT
) -> tuple[Floats, Floats]:
    """Return mu and sigma [orders, editors] after the votes in each order [orders, votes].

    An order may repeat votes; -1 stands for no vote. All orders are updated side by side.
    """
    lanes = np.arange(len(orders))
    mu = np.full((len(orders), votes.editors), MEAN)
    variance = np.full((len(orders), votes.editors), DEVIATION**2)
    margin = ndtri((DRAW + 1) / 2) * np.sqrt(2) * PERFORMANCE
    swap = votes.outcome == SECOND
    winner, loser = (np.where(swap, *ends) for ends in _ends(votes))
    for step in orders.T:
        live = lanes[step >= 0]
        vote = step[live]
        w, x = winner[vote], loser[vote]
        s_w, s_x = variance[live, w] + drift**2, variance[live, x] + drift**2
        scale = np.sqrt(2 * PERFORMANCE**2 + s_w + s_x)
        gap, edge = (mu[live, w] - mu[live, x]) / scale, margin / scale
        v, shrink = _updates(gap, edge, votes.outcome[vote] == TIE)
        mu[live, w] += s_w / scale * v
        mu[live, x] -= s_x / scale * v
        variance[live, w] = s_w * (1 - s_w / scale**2 * shrink)
        variance[live, x] = s_x * (1 - s_x / scale**2 * shrink)
    return mu, np.sqrt(variance)


def trueskill_summary(
    votes: Comparisons, items: NDArray[np.intp], rng: np.random.Generator
) -> SkillSummary:
    """Return the scores as UltraEdit computes them, with their spread over orders and items."""
    own = np.arange(len(votes))
    shuffled = np.stack([rng.permutation(own) for _ in range(_SHUFFLES)])
    mu, sigma = skills(votes, own[None])
    settled, _ = skills(votes, shuffled, drift=0.0)
    drifting, _ = skills(votes, shuffled)
    resampled, _ = skills(votes, _resampled_orders(items, rng), drift=0.0)
    settled, drifting, resampled = map(_centred, (settled, drifting, resampled))
    low, high = np.percentile(resampled, PERCENTILES, axis=0)
    return SkillSummary(
        mu[0], sigma[0], settled.mean(axis=0), drifting.std(axis=0, ddof=1), low, high
    )


def _centred(mu: Floats) -> Floats:
    """Return scores [orders, editors] with the mean of 25 in each order."""
    centred: Floats = mu - mu.mean(axis=1, keepdims=True) + MEAN
    return centred


def _ends(votes: Comparisons) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    return [(votes.second, votes.first), (votes.first, votes.second)]


def _updates(gap: Floats, edge: Floats, tie: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Return the updates v and w of a win, or of a draw (Herbrich et al., equations 5 and 7)."""
    low, high = -edge - gap, edge - gap
    mass = np.maximum(ndtr(high) - ndtr(low), 1e-300)
    draw_v = (_density(low) - _density(high)) / mass
    draw_w = draw_v**2 + (high * _density(high) - low * _density(low)) / mass
    x = gap - edge
    win_v = _density(x) / np.exp(log_ndtr(x))
    win_w = win_v * (win_v + x)
    return np.where(tie, draw_v, win_v), np.where(tie, draw_w, win_w)


def _density(x: Floats) -> Floats:
    """Return the density of the standard normal distribution."""
    found: Floats = np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)
    return found


def _resampled_orders(items: NDArray[np.intp], rng: np.random.Generator) -> NDArray[np.intp]:
    """Return shuffled orders of the votes of resampled items, filled up with -1."""
    _, index = np.unique(items, return_inverse=True)
    members = [np.flatnonzero(index == each) for each in range(int(index.max()) + 1)]
    drawn = []
    for _ in range(_RESAMPLES):
        chosen = rng.integers(len(members), size=len(members))
        drawn.append(rng.permutation(np.concatenate([members[each] for each in chosen])))
    orders = np.full((_RESAMPLES, max(map(len, drawn))), -1)
    for lane, order in enumerate(drawn):
        orders[lane, : len(order)] = order
    return orders
