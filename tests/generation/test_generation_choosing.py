"""The best of each group by a score or a product: ties, missing scores, and the others' rows."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from editloop.errors import RecipeError
from editloop.kernel.steps import Drop, Fail, Keep, Outcome
from editloop.registry import create
from editloop.schema import EditSample, Provenance, Score, Unscored
from text_worlds import sample


def candidate(number: int, parent: str = "p", **scores: float | Unscored) -> EditSample:
    made = Provenance("editor", "1", parameters={"attempt": number})
    given = {
        name: value if isinstance(value, Unscored) else Score(value)
        for name, value in scores.items()
    }
    return sample(f"{parent}/{number}", parent_id=parent, provenance=made, scores=given)


def best(*samples: EditSample, **settings: Any) -> dict[str, Outcome]:
    found = create("build", "best", settings).process(samples)
    return {each.id: outcome for each, outcome in zip(samples, found, strict=True)}


def kept(outcomes: dict[str, Outcome]) -> list[str]:
    return [name for name, outcome in outcomes.items() if isinstance(outcome, Keep)]


def test_the_best_of_each_group_go_on_and_all_are_attempts() -> None:
    group = [candidate(1, f=3.0), candidate(2, f=5.0), candidate(3, f=4.0)]
    found = best(*group, candidate(1, "q", f=1.0), keep=2, by="f")
    assert kept(found) == ["p/2", "p/3", "q/1"]
    chosen, dropped = found["p/2"], found["p/1"]
    assert isinstance(chosen, Keep)
    assert isinstance(dropped, Drop)
    assert [(each.sample.id, each.number, each.chosen) for each in chosen.attempts] == [
        ("p/2", 2, True)
    ]
    (other,) = dropped.attempts
    assert (dropped.reason, other.chosen, other.sample) == ("not among the best", False, group[0])
    assert other.reason == "not among the best: f is 3"


def test_candidates_of_another_instruction_are_another_group() -> None:
    one, two = candidate(1, f=1.0), candidate(2, f=2.0)
    other = EditSample("p/9", one.source, "another", parent_id="p", scores={"f": Score(0.0)})
    assert kept(best(one, two, other, by="f")) == ["p/2", "p/9"]


@pytest.mark.parametrize(
    ("by", "name"),
    [("f", "p/1"), ("q", "p/2"), ("-q", "p/1"), ("f * q", "p/3"), (["f", "q"], "p/3")],
)
def test_a_score_a_low_score_or_a_product_ranks(by: Any, name: str) -> None:
    group = [candidate(1, f=5.0, q=1.0), candidate(2, f=1.0, q=5.0), candidate(3, f=3.0, q=3.0)]
    for order in permutations(group):
        assert kept(best(*order, by=by)) == [name]


def test_equal_candidates_rank_by_their_number() -> None:
    group = [candidate(number, f=2.0) for number in (10, 9, 2)]
    for order in permutations(group):
        assert sorted(kept(best(*order, keep=2, by="f"))) == ["p/2", "p/9"]


def test_what_cannot_be_ranked_is_quarantined_and_the_others_are_ranked() -> None:
    group = [candidate(1, f=1.0, q=1.0), candidate(2, f=9.0), candidate(3, f=9.0, q=-1.0),
             candidate(4, f=9.0, q=Unscored("too dark"))]  # fmt: skip
    found = best(*group, by="f * q")
    assert kept(found) == ["p/1"]
    failed = [each for each in found.values() if isinstance(each, Fail)]
    assert [(each.code, each.message) for each in failed] == [
        ("not-scored", "q: the sample has no such score"),
        ("not-ranked", "q is negative: a product of scores needs scores from 0"),
        ("not-scored", "q: too dark"),
    ]


@pytest.mark.parametrize("by", ["", "-", "f * -q", []])
def test_what_is_no_ranking_is_refused(by: Any) -> None:
    with pytest.raises(RecipeError, match="by"):
        best(by=by)
