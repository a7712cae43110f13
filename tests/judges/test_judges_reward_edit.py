"""RewardEdit-20K's JSON: reading it as verdicts, and writing it from scores."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from editloop.errors import RecipeError, StoreError
from editloop.judges.recorded import RecordedJudge
from editloop.judges.reward_edit import Exported, RewardEditJudge, write_reward_edit
from editloop.schema import (
    PERSPECTIVES,
    Cause,
    EditedPair,
    EditSample,
    Image,
    Json,
    Score,
    Unscored,
    Verdict,
)

EMPTY = np.empty((0, 0, 3), np.uint8)


def judge(path: Path, content: Json, name: str = "0000017") -> Verdict:
    path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    (verdict,) = RewardEditJudge(RewardEditJudge.Settings(target=path)).judge(
        [EditedPair(name, EMPTY, "", EMPTY)]
    )
    return verdict


def reward(score: Json, text: Json = "None") -> Json:
    return {"Score": score, "Negative Prompt": text}


def sample(name: str, *scores: Score | Unscored) -> EditSample:
    return EditSample(name, Image(b""), scores=dict(zip(PERSPECTIVES, scores, strict=False)))


def test_three_rewards_are_read_in_their_order(tmp_path: Path) -> None:
    content = {"0000017": [reward(2, "not done"), reward(4.5, "the sky moved"), reward(5)]}
    assert judge(tmp_path / "r.json", content) == {
        "following": Score(2.0, text="not done"),
        "preserving": Score(4.5, text="the sky moved"),
        "quality": Score(5.0, text="None"),
    }


@pytest.mark.parametrize(
    ("score", "due"),
    [
        ("4", Score(4.0, text="None")),
        (7, Unscored("out of range: 7 is not in 0..5", cause=Cause.OUT_OF_RANGE)),
        (-1, Unscored("out of range: -1 is not in 0..5", cause=Cause.OUT_OF_RANGE)),
        (None, Unscored("unparseable: None is not a score", cause=Cause.UNPARSEABLE)),
        (True, Unscored("unparseable: True is not a score", cause=Cause.UNPARSEABLE)),
        ("good", Unscored("unparseable: 'good' is not a score", cause=Cause.UNPARSEABLE)),
        (float("nan"), Unscored("unparseable: nan is not a score", cause=Cause.UNPARSEABLE)),
        (float("inf"), Unscored("out of range: inf is not in 0..5", cause=Cause.OUT_OF_RANGE)),
    ],
)
def test_a_score_is_a_number_in_range_or_none(
    tmp_path: Path, score: Json, due: Score | Unscored
) -> None:
    content = {"0000017": [reward(score), reward(5), reward(5)]}
    verdict = judge(tmp_path / "r.json", content)
    assert verdict["following"] == due
    assert verdict["quality"] == Score(5.0, text="None")


def test_a_declared_scale_maps_rewards_and_is_part_of_the_version(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    plain = judge(path, {"0000017": [reward(-4), reward(2), reward(4.5)]})
    assert [isinstance(each, Score) for each in plain.values()] == [False, True, True]
    settings = RewardEditJudge.Settings(target=path, scale="-4,4")
    mapped = RewardEditJudge(settings)
    (verdict,) = mapped.judge([EditedPair("0000017", EMPTY, "", EMPTY)])
    assert verdict["following"] == Score(0.0, text="None")
    assert verdict["preserving"] == Score(3.75, text="None")
    assert verdict["quality"] == Unscored(
        "out of range: 4.5 is not in -4..4", cause=Cause.OUT_OF_RANGE
    )
    assert mapped.version != RewardEditJudge(RewardEditJudge.Settings(target=path)).version


def test_recorded_verdicts_are_mapped_by_a_declared_scale(tmp_path: Path) -> None:
    path = tmp_path / "v.jsonl"
    path.write_text('{"id": "a", "verdict": {"following": -2, "quality": {"value": 6}}}')
    pair = EditedPair("a", EMPTY, "", EMPTY)
    judges = [
        RecordedJudge(RecordedJudge.Settings(target=path, scale=scale)) for scale in (None, "-4,4")
    ]
    (plain,), (mapped,) = (each.judge([pair]) for each in judges)
    assert plain["following"] == Score(-2.0)
    assert mapped["following"] == Score(1.25)
    assert isinstance(mapped["quality"], Unscored)
    assert judges[0].version != judges[1].version


@pytest.mark.parametrize("value", [[reward(5)], "good", {"Score": 5}, [reward(5)] * 4])
def test_what_is_no_list_of_three_is_unscored(tmp_path: Path, value: Json) -> None:
    verdict = judge(tmp_path / "r.json", {"0000017": value})
    assert set(verdict.values()) == {
        Unscored("unparseable: it is not a list of three rewards", cause=Cause.UNPARSEABLE)
    }


def test_a_reward_without_words_has_none(tmp_path: Path) -> None:
    content = {"0000017": [{"Score": 5}, reward(5, " "), reward(5, ["a"])]}
    assert set(judge(tmp_path / "r.json", content).values()) == {Score(5.0)}


def test_an_edit_that_the_file_lacks_is_unscored(tmp_path: Path) -> None:
    verdict = judge(tmp_path / "r.json", {"other": [reward(5)] * 3})
    assert set(verdict.values()) == {
        Unscored("the file has no rewards for this edit", cause=Cause.NO_ANSWER)
    }


@pytest.mark.parametrize("text", ["[]", "{", '{"a": [], "a": []}'])
def test_a_file_that_is_no_such_json_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(RecipeError, match="a file of rewards cannot be read"):
        judge(tmp_path / "r.json", text)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="read rewards"):
        RewardEditJudge(RewardEditJudge.Settings(target=tmp_path / "gone.json"))


def test_another_content_is_another_version(tmp_path: Path) -> None:
    versions = []
    for score in (4, 5):
        judge(tmp_path / "r.json", {"a": [reward(score)] * 3})
        settings = RewardEditJudge.Settings(target=tmp_path / "r.json")
        versions.append(RewardEditJudge(settings).version)
    assert versions[0] != versions[1]


def test_rewards_go_out_in_the_published_form(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    made = sample("0000017", Score(2.0, False, "not done"), Score(4.5, True), Score(5.0, True))
    assert write_reward_edit([made], path) == Exported(1, 0)
    assert json.loads(path.read_text("utf-8")) == {
        "0000017": [reward(2, "not done"), reward(4.5), reward(5)]
    }


def test_what_goes_out_comes_back(tmp_path: Path) -> None:
    scores = [Score(1 / 3, text="ein „Fleck“, \n neu"), Score(0.0, text="x" * 500), Score(5.0)]
    names = ["a", 'photos/"train"/β', "c"]
    path = tmp_path / "r.json"
    assert write_reward_edit([sample(name, *scores) for name in names], path).written == 3
    for name in names:
        back = judge(path, path.read_text("utf-8"), name)
        assert [(each.value, each.text) for each in back.values() if isinstance(each, Score)] == [
            (scores[0].value, scores[0].text),
            (scores[1].value, scores[1].text),
            (5.0, "None"),
        ]


def test_no_score_is_made_up_for_what_goes_out(tmp_path: Path) -> None:
    made = [
        sample("a", Score(1.0), Unscored("refused"), Score(2.0)),
        sample("b", Score(1.0)),
        sample("c", Score(1.0), Score(2.0), Score(3.0)),
    ]
    assert write_reward_edit(made, tmp_path / "r.json") == Exported(1, 2)
    assert list(json.loads((tmp_path / "r.json").read_text())) == ["c"]


def test_nothing_to_write_is_an_empty_object(tmp_path: Path) -> None:
    assert write_reward_edit([], tmp_path / "r.json") == Exported(0, 0)
    assert json.loads((tmp_path / "r.json").read_text()) == {}
