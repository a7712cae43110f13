"""Preferences in both orders from the shipped fake server."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from editloop.chat.fake.faults import Fault, in_order
from editloop.chat.fake.request import FakeRequest
from editloop.chat.fake.server import FakeServer
from editloop.errors import RecipeError
from editloop.judges.pairwise import (
    Comparison,
    PairwiseJudge,
    PositionBias,
    Preference,
    position_bias,
)
from editloop.schema import Cause, Pixels, Unscored


def grey(level: int) -> Pixels:
    return np.full((16, 16, 3), level, np.uint8)


def comparison(first: int, second: int, **changes: Any) -> Comparison:
    fields = {"id": f"{first}-{second}", "source": grey(100), "instruction": "brighter"}
    return Comparison(**{**fields, "first": grey(first), "second": grey(second), **changes})


def reply(better: str) -> str:
    return f'{{"reason": "why {better}", "better": "{better}"}}'


def brighter(asked: FakeRequest) -> str:
    _, first, second = (float(each.mean()) for each in asked.pictures)
    return reply("tie" if abs(first - second) < 1 else "A" if first > second else "B")


Make = Callable[..., PairwiseJudge]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    opened: list[Any] = []

    def made(
        answers: Callable[[FakeRequest], str], *faults: Fault, **changes: Any
    ) -> PairwiseJudge:
        server = FakeServer(answers, faults=in_order(*faults)).start()
        opened.append(server)
        settings = {
            "target": "fake",
            "base_url": server.base_url,
            "ledger": tmp_path / "ledger.sqlite",
            "attempts": 1,
            "re_asks": 0,
        }
        judge = PairwiseJudge(PairwiseJudge.Settings.model_validate({**settings, **changes}))
        opened.append(judge)
        return judge

    yield made
    for each in reversed(opened):
        each.close()


def test_the_better_edit_wins_from_either_place(make: Make) -> None:
    found = make(brighter).compare([comparison(200, 50), comparison(50, 200)])
    assert [each.choice for each in found] == ["first", "second"]
    assert [each.orders for each in found] == [("first",) * 2, ("second",) * 2]


def test_a_preference_has_the_reason_given(make: Make) -> None:
    judge = make(brighter)
    assert judge.compare([comparison(200, 50)]) == [
        Preference("first", ("first", "first"), "why A", judge.version)
    ]


def test_equal_edits_tie(make: Make) -> None:
    (found,) = make(brighter).compare([comparison(90, 90)])
    assert (found.choice, found.orders, found.text) == ("tie", ("tie", "tie"), "why tie")


@pytest.mark.parametrize(
    ("place", "bias"), [("A", PositionBias(0, 2, 0, 0)), ("B", PositionBias(0, 0, 2, 0))]
)
def test_a_preference_for_a_place_is_a_tie_and_counted(
    make: Make, place: str, bias: PositionBias
) -> None:
    found = make(lambda _: reply(place)).compare([comparison(200, 50), comparison(50, 200)])
    assert [(each.choice, each.text) for each in found] == [("tie", "the two orders disagree")] * 2
    assert position_bias(found) == bias


def test_a_tie_in_one_order_only_is_half_a_tie(make: Make) -> None:
    def wavering(asked: FakeRequest) -> str:
        return reply("A" if asked.pictures[1].mean() > 100 else "tie")

    found = make(wavering).compare([comparison(200, 50)])
    assert found[0].choice == "tie"
    assert position_bias(found) == PositionBias(0, 0, 0, 1)


def test_both_orders_are_asked_and_each_picture_is_the_same_bytes(make: Make) -> None:
    shown: list[tuple[str, ...]] = []

    def watching(asked: FakeRequest) -> str:
        shown.append(asked.links)
        return reply("tie")

    make(watching).compare([comparison(200, 50)])
    (one, two) = sorted(shown)
    assert one != two
    assert sorted(one) == sorted(two)
    assert one[0] == two[0]


def test_agreement_is_counted_over_many(make: Make) -> None:
    found = make(brighter).compare([comparison(50, level) for level in (90, 120, 200)])
    assert position_bias(found) == PositionBias(3, 0, 0, 0)


def test_a_comparison_with_one_order_missing_is_unscored(make: Make) -> None:
    judge = make(brighter, Fault.DECLINED, concurrency=1)
    first, second = judge.compare([comparison(200, 50), comparison(60, 210)])
    assert first == Unscored("refused: it declines to answer", judge.version, Cause.REFUSED)
    assert second.choice == "second"


def test_a_comparison_without_an_instruction_is_not_asked(make: Make) -> None:
    judge = make(brighter)
    (found,) = judge.compare([comparison(200, 50, instruction="")])
    assert found == Unscored(
        "the rubric preference shows the instruction, and the case has none",
        judge.version,
        Cause.MISSING_INPUT,
    )
    assert judge.counts.attempts == 0


def test_an_estimate_counts_both_orders(make: Make) -> None:
    assert make(brighter).estimate([comparison(200, 50)]).calls == 2


def test_a_rubric_of_scores_compares_nothing(make: Make) -> None:
    with pytest.raises(RecipeError, match="does not compare two edits"):
        make(brighter, rubric="following")
