"""Novelty: near-duplicates at known ROUGE-L, the same decision in any order."""

from __future__ import annotations

from itertools import permutations

import pytest

from editloop.generation.novelty import Novelty, rouge_l

OLD = "add a small red kite above the old harbour wall"  # ten words


@pytest.mark.parametrize(
    ("text", "score"),
    [
        (OLD.upper() + "!", 1.0),
        ("add a small blue kite above the old harbour wall", 0.9),
        ("add a tiny blue kite over the new harbour fence", 0.5),
        ("wall harbour old the above kite red small a add", 0.1),
        ("", 0.0),
    ],
)
def test_rouge_l_is_the_f1_of_the_longest_common_subsequence(text: str, score: float) -> None:
    assert rouge_l(OLD, text) == pytest.approx(score)
    assert rouge_l(text, OLD) == pytest.approx(score)


def test_a_near_duplicate_is_found_exactly_at_the_threshold() -> None:
    near = "add a small blue kite above the old harbour wall"  # ROUGE-L 0.9
    for rouge, found in [(0.9, set()), (0.91, {near})]:
        novelty = Novelty(rouge, 1.0)
        novelty.add(OLD)
        assert novelty.novel([near]) == found


def test_shared_word_triples_count_too() -> None:
    moved = "above the old harbour wall add a small red kite"  # ROUGE-L 0.5, 6 of 10 triples
    for shingles, found in [(0.6, set()), (0.61, {moved})]:
        novelty = Novelty(0.9, shingles)
        novelty.add(OLD)
        assert novelty.novel([moved]) == found


def test_the_order_of_a_round_does_not_matter() -> None:
    chain = [
        "paint the boat blue",
        "paint the big boat blue",
        "paint the big boat dark blue",
        "melt the snow",
        "Melt the snow!",
    ]
    found = set()
    for order in permutations(chain):
        found.add(Novelty(0.8, 1.0).novel(order))
    assert len(found) == 1
    assert 2 <= len(next(iter(found))) <= 3
