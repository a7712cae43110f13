"""Simulated studies with item and rater effects, whose true scores are known."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from editloop.rating.davidson import Comparisons

SCORES = np.array([0.6, 0.1, -0.2, -0.5])
TIE, POSITION = -0.5, 0.2
NAMES = ("anna", "bert", "cleo", "dora")


@dataclass(frozen=True)
class Study:
    votes: Comparisons
    items: NDArray[np.intp]
    raters: NDArray[np.intp]


def simulate(
    rng: np.random.Generator, items: int = 60, raters: int = 10, overlap: int = 3, effect: float = 1
) -> Study:
    """Return votes on all pairs of four editors on each item by `overlap` of the raters."""
    count = len(SCORES)
    by_item = rng.normal(0, 0.6 * effect, (items, count))
    by_rater = rng.normal(0, 0.5 * effect, (raters, count))
    one, two = np.triu_indices(count, 1)
    item = np.repeat(np.arange(items), len(one) * overlap)
    pair = np.tile(np.repeat(np.arange(len(one)), overlap), items)
    rater = np.concatenate([rng.permutation(raters)[:overlap] for _ in range(items * len(one))])
    swap = rng.random(len(item)) < 0.5
    first, second = np.where(swap, two[pair], one[pair]), np.where(swap, one[pair], two[pair])
    scores = SCORES + by_item[item] + by_rater[rater]
    at = np.arange(len(item))
    half = (scores[at, first] - scores[at, second] + POSITION) / 2
    chances = np.exp(np.stack([half, np.full(len(half), TIE), -half], axis=1))
    chances = np.cumsum(chances / chances.sum(axis=1, keepdims=True), axis=1)
    outcome = (rng.random((len(item), 1)) > chances[:, :2]).sum(axis=1)
    return Study(Comparisons(first, second, outcome, count), item, rater)


def write_votes(study: Study, path: Path, question: str = "which is better?") -> Path:
    """Write a study as a CSV of votes."""
    answers = ("a", "tie", "b")
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["item", "editor_a", "editor_b", "question", "answer", "rater", "order"])
        for at in range(len(study.votes)):
            rows.writerow(
                [
                    f"item-{study.items[at]}",
                    NAMES[study.votes.first[at]],
                    NAMES[study.votes.second[at]],
                    question,
                    answers[study.votes.outcome[at]],
                    f"rater-{study.raters[at]}",
                    "ab",
                ]
            )
    return path
