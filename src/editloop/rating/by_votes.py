"""One question's ranking from votes, with everything that tells how far it can be trusted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from editloop.rating.davidson import (
    FIRST,
    SECOND,
    TIE,
    Comparisons,
    DavidsonFit,
    components,
    fit_davidson,
    fit_half_wins,
)
from editloop.rating.numbers import RESAMPLES, rounded
from editloop.rating.robustness import circular, few_votes, without_each_rater
from editloop.rating.trueskill import trueskill_summary
from editloop.rating.uncertainty import (
    naive_covariance,
    pigeonhole_scores,
    rank_intervals,
    score_intervals,
    two_way_covariance,
)
from editloop.rating.vote_agreement import vote_agreement
from editloop.rating.vote_warnings import FEW_RATERS, not_ranked, vote_warnings
from editloop.rating.votes import Vote
from editloop.schema import Json
from editloop.statistics.bootstrap import PERCENTILES

__all__ = ["rank_by_votes"]

_OUTCOMES = {"first": FIRST, "tie": TIE, "second": SECOND}


@dataclass(frozen=True, slots=True)
class _Arrays:
    """Votes without `both_bad`, as arrays [votes], and the names behind the numbers."""

    votes: Comparisons
    items: NDArray[np.intp]
    raters: NDArray[np.intp]
    editors: list[str]
    rater_names: list[str]
    ordered: bool  # the order shown is known of every vote


def rank_by_votes(votes: Sequence[Vote], rng: np.random.Generator) -> dict[str, Json]:
    """Return the parts of `ranking.json` for the votes of one question, and `warnings` by code.

    Scores are log odds: `score` differences d mean odds of e^d to 1, and they sum to 0. "Both bad"
    answers are counted apart; they say nothing about which editor is better.
    """
    editors = sorted({name for vote in votes for name in (vote.first, vote.second)})
    counts = _counts(votes, editors)
    base = {"counts": counts, "agreement": vote_agreement(votes, editors, rng), "warnings": {}}
    compared = [vote for vote in votes if vote.answer != "both_bad"]
    arrays = _arrays(compared, editors) if compared else None
    groups = [] if arrays is None else components(arrays.votes)
    if arrays is None or len(groups) > 1:
        reason = not_ranked(groups, editors)
        absent = {key: {"score": None, "reason": reason} for key in editors}
        return {**base, "davidson": absent, "warnings": {"not-connected": reason}}
    fit = fit_davidson(arrays.votes, position=arrays.ordered)
    ranked = _ranked(arrays, fit, rng)
    told = vote_warnings(fit, counts, ranked["robustness"], ordered=arrays.ordered)
    return {**base, **ranked, "warnings": told}


def _arrays(votes: Sequence[Vote], editors: list[str]) -> _Arrays:
    number = {name: at for at, name in enumerate(editors)}
    _items, item = np.unique([vote.item for vote in votes], return_inverse=True)
    raters, rater = np.unique([vote.rater for vote in votes], return_inverse=True)
    comparisons = Comparisons(
        np.array([number[vote.first] for vote in votes]),
        np.array([number[vote.second] for vote in votes]),
        np.array([_OUTCOMES[vote.answer] for vote in votes]),
        len(editors),
    )
    ordered = all(vote.ordered for vote in votes)
    return _Arrays(comparisons, item, rater, editors, list(map(str, raters)), ordered)


def _ranked(arrays: _Arrays, fit: DavidsonFit, rng: np.random.Generator) -> dict[str, Json]:
    covariance = score_intervals(fit, arrays.items, arrays.raters)
    half, naive = covariance.half_widths, naive_covariance(fit).half_widths
    ranks = rank_intervals(fit.scores, covariance, rng)
    halves = fit_half_wins(arrays.votes, position=arrays.ordered)
    skill = trueskill_summary(arrays.votes, arrays.items, rng)
    bootstrap = _pigeonhole(arrays, fit, rng)
    davidson = {
        name: {
            "score": rounded(fit.scores[at]),
            "low": rounded(fit.scores[at] - half[at]),
            "high": rounded(fit.scores[at] + half[at]),
            "rank_low": ranks[at].low,
            "rank_high": ranks[at].high,
            "naive_low": rounded(fit.scores[at] - naive[at]),
            "naive_high": rounded(fit.scores[at] + naive[at]),
            **bootstrap[at],
        }
        for at, name in enumerate(arrays.editors)
    }
    return {
        "davidson": davidson,
        "half_wins": {name: rounded(halves[at]) for at, name in enumerate(arrays.editors)},
        "trueskill": {
            name: {
                "mu": rounded(skill.mu[at]),
                "sigma": rounded(skill.sigma[at]),
                "shuffled_mean": rounded(skill.shuffled[at]),
                "order_spread": rounded(skill.order_spread[at]),
                "low": rounded(skill.low[at]),
                "high": rounded(skill.high[at]),
            }
            for at, name in enumerate(arrays.editors)
        },
        "pairs": _pairs(arrays),
        "position_bias": _position(arrays, fit),
        "robustness": _robustness(arrays, fit),
    }


def _pigeonhole(
    arrays: _Arrays, fit: DavidsonFit, rng: np.random.Generator
) -> list[dict[str, float]]:
    """Return each editor's interval of the pigeonhole bootstrap, where raters are few."""
    if len(arrays.rater_names) >= FEW_RATERS:
        return [{} for _ in arrays.editors]
    found = pigeonhole_scores(
        arrays.votes, fit, arrays.items, arrays.raters, resamples=RESAMPLES, rng=rng
    )
    low, high = np.nanpercentile(found, PERCENTILES, axis=0)
    return [
        {"bootstrap_low": rounded(low[at]), "bootstrap_high": rounded(high[at])}
        for at in range(len(arrays.editors))
    ]


def _pairs(arrays: _Arrays) -> list[dict[str, Json]]:
    wins, ties = arrays.votes.wins, arrays.votes.ties
    return [
        {
            "editor_a": arrays.editors[a],
            "editor_b": arrays.editors[b],
            "a": int(wins[a, b]),
            "b": int(wins[b, a]),
            "tie": int(ties[a, b]),
        }
        for a in range(len(arrays.editors))
        for b in range(a + 1, len(arrays.editors))
        if wins[a, b] + wins[b, a] + ties[a, b]
    ]


def _position(arrays: _Arrays, fit: DavidsonFit) -> dict[str, Json]:
    """Return the log odds that the editor shown first gains; a reason where it is not known."""
    if fit.position is None:
        cause = "the order shown is not recorded" if not arrays.ordered else "orders do not vary"
        return {"log_odds": None, "reason": cause}
    at = len(arrays.editors) - 1
    found = two_way_covariance(fit.influences, fit.information, arrays.items, arrays.raters)
    half = float(found.half_widths[at])
    return {
        "log_odds": rounded(fit.position),
        "low": rounded(fit.position - half),
        "high": rounded(fit.position + half),
    }


def _robustness(arrays: _Arrays, fit: DavidsonFit) -> dict[str, Json]:
    raters = without_each_rater(arrays.votes, fit, arrays.raters)
    few = few_votes(arrays.votes, fit)
    return {
        "leave_one_rater_out": [
            {
                "rater": arrays.rater_names[each.rater],
                "shift": rounded(each.shift) if np.isfinite(each.shift) else None,
                "leader_changes": each.leader_changes,
                "order_changes": each.order_changes,
            }
            for each in raters[:10]
        ],
        "few_votes": None
        if few is None
        else {
            "challenger": arrays.editors[few.challenger],
            "votes": few.votes,
            "share": rounded(few.share),
        },
        "circular": [
            {
                "editors": [arrays.editors[at] for at in each.editors],
                "weakest": rounded(each.weakest),
            }
            for each in circular(arrays.votes)
        ],
    }


def _counts(votes: Sequence[Vote], editors: list[str]) -> dict[str, Json]:
    both_bad = Counter(
        name for vote in votes if vote.answer == "both_bad" for name in (vote.first, vote.second)
    )
    shown = Counter(name for vote in votes for name in (vote.first, vote.second))
    return {
        "votes": len(votes),
        "items": len({vote.item for vote in votes}),
        "raters": len({vote.rater for vote in votes}),
        "ties": sum(vote.answer == "tie" for vote in votes),
        "both_bad": sum(vote.answer == "both_bad" for vote in votes),
        "both_bad_share": {name: rounded(both_bad[name] / shown[name]) for name in editors},
    }
