"""Davidson's model of comparisons with ties, fitted by Newton's method.

With scores s, a position effect b and a tie parameter t, an editor i that is shown first beside j
has (Davidson, 1970; Davidson and Beaver, 1977, on the position effect)

    log P(first) = (s_i - s_j + b) / 2 - z,   log P(second) = -(s_i - s_j + b) / 2 - z,
    log P(tie) = t - z,

where z makes the three sum to one. So s_i - s_j is the log odds of i being preferred to j. The log
likelihood is concave in (s, b, t). Without ties this is the model of Bradley and Terry (1952).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import helmert
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

__all__ = [
    "FIRST",
    "SECOND",
    "TIE",
    "Comparisons",
    "DavidsonFit",
    "Floats",
    "components",
    "fit_davidson",
    "fit_half_wins",
    "is_separated",
    "vote_informations",
]

Floats = NDArray[np.float64]
Numbers = NDArray[np.intp]

FIRST, TIE, SECOND = range(3)  # outcomes
PRIOR_DEVIATION = 3.0  # of scores, where the votes alone leave them unbounded
_ROUNDS = 100
_CLOSE = 1e-10
_SMALLEST = 1e-9  # an eigenvalue of the information below this one: not identified


@dataclass(frozen=True, slots=True)
class Comparisons:
    """Votes as arrays [votes]: numbers of the editors shown first and second, and outcomes."""

    first: Numbers
    second: Numbers
    outcome: Numbers
    editors: int

    def __len__(self) -> int:
        return len(self.first)

    def where(self, chosen: NDArray[np.bool_]) -> Comparisons:
        """Return the chosen votes."""
        return Comparisons(
            self.first[chosen], self.second[chosen], self.outcome[chosen], self.editors
        )

    @property
    def wins(self) -> Floats:
        """How often row was preferred to column; [editors, editors], without ties."""
        table = np.zeros((self.editors, self.editors))
        np.add.at(table, self._ends(FIRST), 1)
        np.add.at(table.T, self._ends(SECOND), 1)
        return table

    @property
    def ties(self) -> Floats:
        """The number of ties of each pair; [editors, editors], symmetric."""
        table = np.zeros((self.editors, self.editors))
        np.add.at(table, self._ends(TIE), 1)
        return table + table.T

    def _ends(self, outcome: int) -> tuple[Numbers, Numbers]:
        chosen = self.outcome == outcome
        return self.first[chosen], self.second[chosen]


@dataclass(frozen=True, slots=True)
class DavidsonFit:
    """A fitted model.

    `scores` [editors] sum to 0. `position` and `tie` are None where they are not in the model.
    `influences` [votes, parameters] are the gradients of each vote's log likelihood, `information`
    [parameters, parameters] is the negative Hessian, and `basis` [editors, parameters] turns
    parameters into scores. `prior` is true if a normal prior kept the scores finite.
    """

    scores: Floats
    position: float | None
    tie: float | None
    parameters: Floats
    information: Floats
    influences: Floats
    basis: Floats
    prior: bool


def components(votes: Comparisons) -> list[list[int]]:
    """Return the groups of editors that votes connect; scores of two groups are not comparable."""
    met = votes.wins + votes.wins.T + votes.ties
    count, group = connected_components(csr_array(met), directed=False)
    return [np.flatnonzero(group == each).tolist() for each in range(count)]


def is_separated(votes: Comparisons) -> bool:
    """Return whether some editors never lost to the others, or never won (Ford, 1957).

    Then the likelihood has no maximum at finite scores.
    """
    beaten = votes.wins + votes.ties
    return bool(connected_components(csr_array(beaten), connection="strong")[0] > 1)


def fit_davidson(
    votes: Comparisons,
    *,
    position: bool = True,
    weights: Floats | None = None,
    start: DavidsonFit | None = None,
) -> DavidsonFit:
    """Return the maximum-likelihood fit to votes, optionally weighted by `weights` [votes].

    `position` asks for a position effect, which is left out if the votes cannot tell it. A weak
    normal prior on the scores (standard deviation 3) is added if the maximum is not finite. `start`
    is a fit of the same votes with other weights, from which the iteration starts.
    """
    design = _Design(votes, position=position, weights=weights)
    prior = is_separated(votes) if start is None else start.prior
    first = None if start is None or start.parameters.size != design.size else start.parameters
    found = design.fit(prior=prior, start=first)
    if found is None:  # no finite maximum for another reason, such as the position effect
        found = design.fit(prior=True, start=None)
    assert found is not None  # a prior makes the maximum finite
    return found


def fit_half_wins(votes: Comparisons, *, position: bool = True) -> Floats:
    """Return Bradley-Terry scores [editors] where each tie is half a win for both editors."""
    tied = votes.outcome == TIE
    outcomes = np.where(tied, FIRST, votes.outcome)
    both = Comparisons(
        np.concatenate([votes.first, votes.first[tied]]),
        np.concatenate([votes.second, votes.second[tied]]),
        np.concatenate([outcomes, np.full(int(tied.sum()), SECOND)]),
        votes.editors,
    )
    weights = np.concatenate([np.where(tied, 0.5, 1.0), np.full(int(tied.sum()), 0.5)])
    return fit_davidson(both, position=position, weights=weights).scores


class _Design:
    """Votes by cell (first, second), and each outcome's features [cells, outcomes, parameters]."""

    def __init__(self, votes: Comparisons, *, position: bool, weights: Floats | None) -> None:
        pairs = votes.first * votes.editors + votes.second
        cells, self._cell = np.unique(pairs, return_inverse=True)
        self._outcome = votes.outcome
        flat = self._cell * 3 + votes.outcome
        self.counts = np.bincount(flat, weights, minlength=3 * len(cells)).reshape(-1, 3)
        self._basis = helmert(votes.editors).T  # [editors, editors - 1], columns sum to 0
        first, second = np.divmod(cells, votes.editors)
        difference = self._basis[first] - self._basis[second]
        self._ties = bool((votes.outcome == TIE).any())
        self._position = position
        self._x = _features(difference, position=position, ties=self._ties)
        if position and np.linalg.eigvalsh(self._at(np.zeros(self.size))[2])[0] < _SMALLEST:
            self._position = False
            self._x = _features(difference, position=False, ties=self._ties)

    @property
    def size(self) -> int:
        """The number of parameters."""
        return int(self._x.shape[2])

    def fit(self, *, prior: bool, start: Floats | None) -> DavidsonFit | None:
        """Return the fit; None if Newton's method does not converge to a finite maximum."""
        precision = np.full(self.size, PRIOR_DEVIATION**-2 if prior else 0.0)
        at = np.zeros(self.size) if start is None else start
        value, slope, information = self._penalised(at, precision)
        for _ in range(_ROUNDS):
            try:
                step = np.linalg.solve(information, slope).astype(np.float64)
            except np.linalg.LinAlgError:
                return None
            at, value, slope, information = self._line_search(at, step, value, precision)
            if np.abs(step).max() < _CLOSE:
                return self._result(at, information, prior=prior)
            if np.abs(at).max() > 30:
                return None
        return None

    def _at(self, parameters: Floats) -> tuple[float, Floats, Floats]:
        """Return log likelihood, gradient and information."""
        log_shares = _log_shares(self._x, parameters, ties=self._ties)
        covariances, mean = _moments(self._x, log_shares)
        total = self.counts.sum(axis=1)
        seen = self.counts > 0
        value = float(self.counts[seen] @ log_shares[seen])
        slope = np.einsum("co,cop->p", self.counts, self._x) - total @ mean
        return value, slope, np.tensordot(total, covariances, axes=1)

    def _penalised(self, at: Floats, precision: Floats) -> tuple[float, Floats, Floats]:
        value, slope, information = self._at(at)
        value -= float(precision @ at**2) / 2
        return value, slope - precision * at, information + np.diag(precision)

    def _line_search(
        self, at: Floats, step: Floats, value: float, precision: Floats
    ) -> tuple[Floats, float, Floats, Floats]:
        """Halve Newton's step until the likelihood does not fall."""
        for _ in range(40):
            found = self._penalised(at + step, precision)
            if found[0] >= value - 1e-12 * abs(value):
                break
            step = step / 2
        return at + step, *found

    def _result(self, at: Floats, information: Floats, *, prior: bool) -> DavidsonFit:
        editors, extra = self._basis.shape[0], int(self._position) + int(self._ties)
        _, mean = _moments(self._x, _log_shares(self._x, at, ties=self._ties))
        centred = self._x - mean[:, None, :]
        basis = np.hstack([self._basis, np.zeros((editors, extra))])
        return DavidsonFit(
            scores=basis @ at,
            position=float(at[editors - 1]) if self._position else None,
            tie=float(at[-1]) if self._ties else None,
            parameters=at,
            information=information,
            influences=centred[self._cell, self._outcome],
            basis=basis,
            prior=prior,
        )


def vote_informations(fit: DavidsonFit, first: Numbers, second: Numbers) -> Floats:
    """Return the information of one vote on each pair: [pairs, parameters, parameters]."""
    own = fit.basis[:, : len(fit.basis) - 1]
    ties = fit.tie is not None
    x = _features(own[first] - own[second], position=fit.position is not None, ties=ties)
    return _moments(x, _log_shares(x, fit.parameters, ties=ties))[0]


def _features(difference: Floats, *, position: bool, ties: bool) -> Floats:
    """Return the features of each outcome, [cells, outcomes, parameters].

    `difference` [cells, editors - 1] is that of the two editors in the basis of the scores. The
    position effect follows it; the tie parameter is the last one.
    """
    cells = len(difference)
    half = (
        np.hstack([difference, np.ones((cells, int(position))), np.zeros((cells, int(ties)))]) / 2
    )
    tie = np.zeros_like(half)
    if ties:
        tie[:, -1] = 1
    return np.stack([half, tie, -half], axis=1)


def _log_shares(x: Floats, parameters: Floats, *, ties: bool) -> Floats:
    """Return the log probability of each outcome, [cells, outcomes]; -inf for ties without them."""
    logits = x @ parameters
    if not ties:
        logits[:, TIE] = -np.inf
    shares: Floats = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    return shares


def _moments(x: Floats, log_shares: Floats) -> tuple[Floats, Floats]:
    """Return the covariance [cells, p, p] and the mean [cells, p] of the features."""
    shares = np.exp(log_shares)
    mean = np.einsum("co,cop->cp", shares, x)
    second = np.einsum("co,cop,coq->cpq", shares, x, x)
    return second - mean[:, :, None] * mean[:, None, :], mean
