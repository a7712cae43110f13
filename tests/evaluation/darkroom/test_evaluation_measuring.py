"""Verdicts converted to numbers, alone and jointly; missing scores stay missing."""

from collections.abc import Sequence

import pytest

from editloop.evaluation.darkroom.measuring import Measures
from editloop.metrics.metric_set import metrics_of
from editloop.schema import EditedPair, EditType, Score, Unscored, Verdict
from evaluation_fakes import FakeJudge, photo, region


class Fixed(FakeJudge):
    """A judge that gives the same verdict to every pair."""

    def __init__(self, **verdict: Score | Unscored) -> None:
        self.verdict = verdict

    def judge(self, batch: Sequence[EditedPair]) -> list[Verdict]:
        return [self.verdict for _ in batch]


GOOD, BAD = Score(4.5, True, "None"), Score(1.0, False, "blurred")


def numbers(judge: FakeJudge) -> dict[str, Score | Unscored]:
    image = photo("measured")
    pair = EditedPair("a", image, "x", image, image, region(EditType.LOCAL))
    return Measures(judge).measure([pair])[0]


def test_a_perspective_gives_an_accuracy_and_a_score_with_its_words() -> None:
    found = numbers(Fixed(following=GOOD, preserving=BAD, quality=GOOD))
    assert found["following_accuracy"] == Score(1.0)
    assert found["preserving_accuracy"] == Score(0.0)
    assert found["preserving_score"] == BAD


def test_joint_numbers_exist_only_where_the_edit_was_followed() -> None:
    followed = numbers(Fixed(following=GOOD, preserving=BAD, quality=GOOD))
    assert followed["preserving_score_given_following"] == BAD
    ignored = numbers(Fixed(following=BAD, preserving=GOOD, quality=GOOD))
    assert ignored["quality_score_given_following"] == Unscored("the edit was not followed")
    assert ignored["preserving_accuracy_given_following"] == Unscored("the edit was not followed")


@pytest.mark.parametrize(("quality", "passed"), [(GOOD, 1.0), (BAD, 0.0)])
def test_all_passes_where_every_perspective_does(quality: Score, passed: float) -> None:
    found = numbers(Fixed(following=GOOD, preserving=GOOD, quality=quality))
    assert found["all_accuracy"] == Score(passed)


def test_an_unscored_perspective_is_never_a_zero() -> None:
    missing = Unscored("the reply was empty")
    found = numbers(Fixed(following=missing, preserving=GOOD, quality=GOOD))
    for name in ("following_accuracy", "following_score", "all_accuracy"):
        assert found[name] == missing
    assert found["preserving_score_given_following"] == missing
    assert found["preserving_score"] == GOOD


def test_a_perspective_the_judge_left_out_and_a_score_without_yes_or_no_are_unscored() -> None:
    found = numbers(Fixed(following=Score(3.0), preserving=GOOD))
    assert isinstance(found["following_accuracy"], Unscored)
    assert found["following_score"] == Score(3.0)
    assert isinstance(found["quality_score"], Unscored)


def test_every_named_number_is_measured_and_further_metrics_join() -> None:
    measures = Measures(FakeJudge(), metrics_of(["their_psnr=pixels:psnr"]))
    image = photo("measured")
    pair = EditedPair("a", image, "x", image, image, region(EditType.LOCAL))
    assert set(measures.measure([pair])[0]) == set(measures.names)
    assert measures.names[-1] == "their_psnr"
    assert measures.parameters != Measures(FakeJudge()).parameters
