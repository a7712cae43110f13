"""Agreement of people's votes with each other, with their own repeats, and with judges."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from editloop.rating.numbers import RESAMPLES, alpha_of, rounded
from editloop.rating.votes import Vote
from editloop.schema import Json
from editloop.statistics.bootstrap import bootstrap_weights, percentile_interval

__all__ = ["judge_agreement", "vote_agreement"]


def vote_agreement(
    votes: Sequence[Vote], editors: list[str], rng: np.random.Generator
) -> dict[str, Json]:
    """Return alpha of the answers (nominal: a, b, tie, both bad), and raters' self-consistency.

    A unit is a pair of editors on an item. A rater's first answer to it counts; later ones are
    repeats, which are compared with it.
    """
    number = {name: at for at, name in enumerate(editors)}
    answers: dict[tuple[str, str, str], dict[str, list[int]]] = defaultdict(dict)
    for vote in votes:
        unit, answer = _answer(vote, number)
        answers[unit].setdefault(vote.rater, []).append(answer)
    counts = np.zeros((len(answers), 4))
    for at, by_rater in enumerate(answers.values()):
        for given in by_rater.values():
            counts[at, given[0]] += 1
    repeats = [
        later == given[0]
        for by_rater in answers.values()
        for given in by_rater.values()
        for later in given[1:]
    ]
    return {
        **alpha_of(counts, "nominal", [item for item, _, _ in answers], rng),
        "repeats": len(repeats),
        "self_consistency": rounded(np.mean(repeats)) if repeats else None,
    }


def _answer(vote: Vote, number: Mapping[str, int]) -> tuple[tuple[str, str, str], int]:
    """Return the unit of a vote and its answer: 0 and 1 for the pair's editors, 2 tie, 3 bad."""
    turned = number[vote.first] > number[vote.second]
    one, two = (vote.second, vote.first) if turned else (vote.first, vote.second)
    code = {"first": int(turned), "second": int(not turned), "tie": 2, "both_bad": 3}[vote.answer]
    return (vote.item, one, two), code


def judge_agreement(
    people: Sequence[Vote], judges: Sequence[Vote], rng: np.random.Generator
) -> dict[str, Json]:
    """Return how often each judge gives the answer that most people gave: judge -> question.

    Units on which people have no single most frequent answer are left out. The interval is a
    bootstrap over items.
    """
    editors = sorted({name for vote in (*people, *judges) for name in (vote.first, vote.second)})
    number = {name: at for at, name in enumerate(editors)}
    given: dict[object, Counter[int]] = defaultdict(Counter)
    for vote in people:
        unit, answer = _answer(vote, number)
        given[vote.question, unit][answer] += 1
    found: dict[str, dict[str, list[tuple[str, bool]]]] = defaultdict(lambda: defaultdict(list))
    for vote in judges:
        unit, answer = _answer(vote, number)
        most = given[vote.question, unit].most_common(2)
        if most and (len(most) == 1 or most[0][1] > most[1][1]):
            found[vote.rater][vote.question].append((vote.item, answer == most[0][0]))
    return {
        judge: {question: _share(rows, rng) for question, rows in by_question.items()}
        for judge, by_question in found.items()
    }


def _share(rows: Sequence[tuple[str, bool]], rng: np.random.Generator) -> dict[str, Json]:
    hits = np.array([hit for _, hit in rows], float)
    weights = bootstrap_weights([item for item, _ in rows], RESAMPLES, rng)
    bounds = percentile_interval(weights @ hits / weights.sum(axis=1)) or (np.nan, np.nan)
    low, high = map(rounded, bounds)
    return {"mean": rounded(hits.mean()), "low": low, "high": high, "count": len(rows)}
