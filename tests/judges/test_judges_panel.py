"""The judge `panel`: medians, majorities, spreads, and a quorum of scores."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from editloop.chat.client import CostEstimate
from editloop.chat.usage import ChatUsage
from editloop.errors import RecipeError, UnavailableError
from editloop.judges.calibration.cost import estimate_of
from editloop.judges.panel import PanelJudge
from editloop.schema import Cause, EditedPair, Score, Unscored, Verdict
from editloop.settings import Settings as BaseSettings

HERE = "python:test_judges_panel:Fixed"
PAIR = EditedPair("a", *[None] * 3)  # type: ignore[arg-type]


class Fixed:
    """A judge with a fixed verdict."""

    class Settings(BaseSettings):
        value: float | None = None
        passed: bool | None = None
        text: str | None = None
        reason: str = "refused: no"
        cause: Cause = Cause.UNSTATED
        perspectives: tuple[str, ...] = ("following",)
        repeat: int = 0

    def __init__(self, settings: "Fixed.Settings") -> None:
        self._settings = settings
        self.name = "fixed"
        self.version = settings.model_dump_json()
        self.perspectives = settings.perspectives

    def judge(self, batch: Sequence[EditedPair]) -> list[Verdict]:
        said = self._settings
        score = Score((said.value or 0) + said.repeat, said.passed, said.text)
        given = Unscored(said.reason, cause=said.cause) if said.value is None else score
        return [dict.fromkeys(said.perspectives, given) for _ in batch]


class Steady(Fixed):
    """A judge without the setting `repeat`."""

    class Settings(BaseSettings):
        pass


def panel(*members: dict[str, Any], **settings: Any) -> PanelJudge:
    judges = [{"kind": HERE.removeprefix("python:"), **each} for each in members]
    return PanelJudge(PanelJudge.Settings.model_validate({"judges": judges, **settings}))


def verdict(*members: dict[str, Any], **settings: Any) -> Verdict:
    return panel(*members, **settings).judge([PAIR])[0]


def values(*numbers: float | None) -> list[dict[str, Any]]:
    return [{"value": number} for number in numbers]


@pytest.mark.parametrize(
    ("numbers", "middle", "spread"),
    [((1, 5, 4), 4, 4), ((2, 3), 2.5, 1), ((0, 0, 5, 5), 2.5, 5), ((3, 3, 3), 3, 0)],
)
def test_the_score_is_the_median_beside_the_spread(
    numbers: tuple[float, ...], middle: float, spread: float
) -> None:
    found = verdict(*values(*numbers))
    assert (found["following"].value, found["following_spread"].value) == (middle, spread)


@pytest.mark.parametrize(
    ("votes", "passed"),
    [
        ((True, True, False), True),
        ((True, False, False), False),
        ((True, False), None),
        ((True, None, None), True),
        ((None, None), None),
    ],
)
def test_the_majority_says_yes_or_no(votes: tuple[bool | None, ...], passed: bool | None) -> None:
    assert verdict(*({"value": 3, "passed": vote} for vote in votes))["following"].passed is passed


def test_words_are_those_nearest_to_the_median() -> None:
    members = [{"value": value, "text": text} for value, text in ((0, "a"), (3, "b"), (5, "c"))]
    assert verdict(*members)["following"].text == "b"


def test_who_gives_no_score_does_not_count() -> None:
    found = verdict(*values(2, None, 4))
    assert (found["following"].value, found["following_spread"].value) == (3, 2)


def test_below_the_quorum_there_is_no_score() -> None:
    found = verdict(*values(2, None, None))
    assert found["following"].reason == "refused: no (scored by 1 of 3, 2 needed)"
    assert isinstance(found["following_spread"], Unscored)


def test_what_may_pass_later_is_told_first() -> None:
    later = {"reason": "no answer", "cause": "transient"}
    assert verdict({"value": 2}, {}, {}, later)["following"].cause.may_pass_later


def test_a_quorum_of_one_is_enough_where_it_is_set() -> None:
    assert verdict(*values(2, None, None), quorum=1)["following"].value == 2


def test_perspectives_are_judged_by_those_who_know_them() -> None:
    found = verdict(
        {"value": 1, "perspectives": ["following", "quality"]},
        {"value": 3, "perspectives": ["following"]},
    )
    assert found["following"].value == 2
    assert found["quality"].value == 1


def test_repeats_ask_the_same_judge_with_other_numbers() -> None:
    found = verdict({"value": 1}, repeats=3)
    assert (found["following"].value, found["following_spread"].value) == (2, 2)


def test_repeats_need_a_judge_that_takes_them() -> None:
    with pytest.raises(RecipeError, match="cannot be asked repeatedly"):
        PanelJudge(PanelJudge.Settings(judges=("python:test_judges_panel:Steady",), repeats=2))


def test_a_quorum_larger_than_the_panel_is_refused() -> None:
    with pytest.raises(RecipeError, match="cannot reach its quorum: only 2 judge following"):
        panel(*values(1, 2), quorum=3)


def test_members_may_be_named_in_one_text() -> None:
    made = PanelJudge(PanelJudge.Settings.model_validate({"judges": f"{HERE},{HERE}?value=4"}))
    assert made.judge([PAIR])[0]["following"].reason == "refused: no (scored by 1 of 2, 2 needed)"


def test_names_and_versions_tell_panels_apart() -> None:
    one, two = panel(*values(1, 2)), panel(*values(1, 3))
    assert one.name == "panel of fixed"
    assert panel({"value": 1}, repeats=3).name == "panel of fixed x3"
    assert len({one.version, two.version, panel(*values(1, 2), quorum=1).version}) == 3
    assert one.version == panel(*values(1, 2)).version


class Paid(Fixed):
    """A judge that asks a model."""

    class Settings(Fixed.Settings):
        ledger: Path = Path("own")
        run: str | None = None

    def __init__(self, settings: "Paid.Settings") -> None:
        super().__init__(settings)
        self.ledger, self.run = settings.ledger, settings.run
        self.counts = ChatUsage(questions=2, cost=0.5)
        self.closed = False

    def estimate(self, batch: Sequence[EditedPair]) -> CostEstimate:
        return CostEstimate(1, len(batch), 10, 20, 0.25)

    def close(self) -> None:
        self.closed = True


PAID = {"kind": "test_judges_panel:Paid"}


def test_what_members_ask_is_added_up() -> None:
    made = panel(PAID, PAID, {})
    assert made.estimate([PAIR, PAIR]) == CostEstimate(2, 4, 20, 40, 0.5)
    assert made.counts == ChatUsage(questions=4, cost=1.0)
    made.close()
    assert [getattr(each, "closed", None) for each in made.members] == [True, True, None]


def test_a_calibration_estimates_what_members_ask_once() -> None:
    made = panel(PAID, PAID, {})
    assert estimate_of([(made, [PAIR, PAIR])]) == made.estimate([PAIR, PAIR])


def test_ledger_and_run_are_for_members_that_do_not_say() -> None:
    made: Any = panel(PAID, {**PAID, "ledger": "mine"}, {}, ledger="shared", run="r")
    assert [(each.ledger, each.run) for each in made.members[:2]] == [
        (Path("shared"), "r"),
        (Path("mine"), "r"),
    ]


class Weighty(Fixed):
    """A judge whose weights are missing."""

    weights = ("owner/name",)
    shared: object = None

    def missing(self) -> UnavailableError | None:
        return UnavailableError("these weights are not on this machine", value="owner/name")

    def use(self, embeddings: object) -> None:
        self.shared = embeddings


def test_weights_are_those_of_its_members() -> None:
    made = PanelJudge(PanelJudge.Settings(judges=(HERE, "python:test_judges_panel:Weighty")))
    store: Any = object()
    made.use(store)
    assert made.weights == ("owner/name",)
    assert isinstance(made.missing(), UnavailableError)
    assert [getattr(each, "shared", None) for each in made.members] == [None, store]
    assert panel({}).missing() is None


def test_members_of_two_scales_sit_on_no_panel() -> None:
    model = "vlm:m?base_url=http://127.0.0.1:9/v1&rubrics=gedit-consistency"
    with pytest.raises(RecipeError, match="two scales of following: 0 to 5, and 0 to 10"):
        PanelJudge(PanelJudge.Settings(judges=("metric", model)))
    assert PanelJudge(PanelJudge.Settings(judges=("metric", "truth"))).scales["quality"] == (0, 5)
