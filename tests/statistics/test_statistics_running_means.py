"""Means over groups' means, and values derived from a case's values."""

import numpy as np
import pytest

from editloop.evaluation.protocol.card import JudgeCard, read_protocol
from editloop.evaluation.protocol.judged import Judged
from editloop.runtime.seeding import generator
from editloop.schema import EditedPair, Json, Score, Unscored, Verdict
from editloop.statistics.bootstrap import Resamples
from editloop.statistics.means import Numbers, summarise

VALUES = np.array([[[1.0], [3.0], [8.0], [np.nan]]])  # [editors, cases, metrics]
PIXELS = np.zeros((4, 6, 3), np.uint8)


def summary(groups: list[str] | None) -> Json:
    answered = np.ones((1, 4), bool)
    numbers = Numbers(("a",), ("m",), VALUES, answered, groups=groups)
    weights = Resamples([str(case) for case in range(4)], 200, generator("groups"))
    return summarise(numbers, weights)["a"]["m"]


def test_a_mean_over_groups_weighs_each_group_alike() -> None:
    assert summary(None)["mean"] == 4.0
    found = summary(["one", "one", "two", "three"])
    assert (found["mean"], found["count"]) == ((2.0 + 8.0) / 2, 3)
    assert found["low"] <= found["mean"] <= found["high"]


class Fixed:
    """Returns the same verdict for everything, and records its inputs."""

    name = "fixed"
    version = "1"
    perspectives = ()

    def __init__(self, verdict: Verdict) -> None:
        self.verdict, self.seen = verdict, []

    def judge(self, batch: list[EditedPair]) -> list[Verdict]:
        self.seen += batch
        return [self.verdict] * len(batch)


def numbers(card: JudgeCard | None, judge: Fixed, edited: np.ndarray = PIXELS) -> Verdict:
    assert card is not None
    return Judged(card, judge).measure([EditedPair("a", PIXELS, "x", edited)])[0]


def test_gedits_overall_is_the_root_of_the_lesser_scores_product() -> None:
    scores = {"following": 9.0, "preserving": 4.0, "naturalness": 9.0, "artefacts": 10.0}
    judge = Fixed({name: Score(value) for name, value in scores.items()})
    found = numbers(read_protocol("gedit").judge, judge)
    assert found["semantic_consistency"].value == 4
    assert found["perceptual_quality"].value == 9
    assert found["overall"].value == pytest.approx(6.0)


def test_imgedits_overall_is_the_mean_of_three() -> None:
    judge = Fixed({"following": Score(5.0), "quality": Score(4.0), "preserving": Score(3.0)})
    assert numbers(read_protocol("imgedit").judge, judge)["overall"].value == 4


def test_a_number_that_lacks_one_of_its_parts_is_unscored_with_its_reason() -> None:
    judge = Fixed({"following": Score(5.0), "quality": Unscored("refused")})
    found = numbers(read_protocol("imgedit").judge, judge)
    assert found["overall"] == Unscored("refused")


def test_the_judge_sees_output_and_source_in_one_size() -> None:
    judge = Fixed({})
    numbers(read_protocol("gedit").judge, judge, np.zeros((8, 12, 3), np.uint8))
    assert judge.seen[-1].edited.shape == PIXELS.shape
    numbers(read_protocol("real-edit").judge, judge)
    assert judge.seen[-1].source.shape == judge.seen[-1].edited.shape == (512, 768, 3)
