"""Human ratings: reading them, and comparing a judge with them."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from calibration_judges import score
from editloop.errors import RecipeError, UnavailableError
from editloop.judges.calibration.asking import Judged
from editloop.judges.calibration.direction import ClipDirection
from editloop.judges.calibration.numbers import rivals
from editloop.judges.calibration.pairs import TruthPairs
from editloop.judges.calibration.people import against_people, read_ratings
from editloop.metrics.metric_set import choose
from editloop.schema import Captions, Score, Unscored
from tiny_encoders import save_clip


def written(folder, text):
    path = folder / "ratings.csv"
    path.write_text(text, encoding="utf-8")
    return path


def rng():
    return np.random.default_rng(0)


def test_levels_are_brought_to_points_of_100(tmp_path) -> None:
    path = written(tmp_path, "id,rater,following,quality\na,ann,1,5\na,bob,3,\nb,ann,2,4\n")
    assert read_ratings(path).points == {
        "following": {"a": {"ann": 0, "bob": 50}, "b": {"ann": 25}},
        "quality": {"a": {"ann": 100}, "b": {"ann": 75}},
    }


def test_cells_may_be_separated_by_semicolons(tmp_path) -> None:
    path = written(tmp_path, "id;rater;following\na;ann;5\n")
    assert read_ratings(path).points == {"following": {"a": {"ann": 100}}}


def test_other_levels_have_other_ends(tmp_path) -> None:
    path = written(tmp_path, "id,rater,alignment\na,ann,30\n")
    assert read_ratings(path, (0, 100)).points == {"alignment": {"a": {"ann": 30}}}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("id,rater,following\na,ann,6\n", "line 2: 6 is not in 1 to 5"),
        ("id,rater,following\na,ann,nan\n", "line 2: nan is not in 1 to 5"),
        ("id,rater,following\na,ann,good\n", "line 2: 'good' is not a number"),
        ("id,rater,following\na,ann,3\na,ann,4\n", "line 3: 'ann' rates 'a' a second time"),
        ("id,rater,following\na,,3\n", "line 2: an id or a rater is empty"),
        ("id,rater,following\na,ann,3,4\n", "line 2: it has more cells than there are columns"),
        ("id,rater,folowing\na,ann,3\n", "unknown column 'folowing', did you mean 'following'?"),
        ("id,following\na,3\n", "there is no column 'rater'"),
        ("id,rater\na,ann\n", "there is no column for a perspective"),
        ("", "there is no column 'id'"),
    ],
)
def test_a_wrong_file_is_refused_with_its_line(text, told, tmp_path) -> None:
    with pytest.raises(RecipeError, match=told.replace("?", r"\?")):
        read_ratings(written(tmp_path, text))


def test_a_file_that_is_no_text_is_refused(tmp_path) -> None:
    path = tmp_path / "ratings.csv"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecipeError, match="ratings cannot be read"):
        read_ratings(path)


def test_the_correlation_is_that_of_each_images_mean_rating(tmp_path) -> None:
    numbers = np.random.default_rng(5)
    levels = numbers.integers(1, 6, (40, 3))
    values = np.clip(levels.mean(axis=1) + numbers.normal(0, 0.7, 40), 0, 5)
    lines = [
        f"i{at},{rater},{levels[at, place]}"
        for at in range(40)
        for place, rater in enumerate(("ann", "bob", "cat"))
    ]
    ratings = read_ratings(written(tmp_path, "\n".join(["id,rater,following", *lines])))
    names = [f"i{at}" for at in range(40)]
    judged = Judged.of(names, [{"following": score(value)} for value in values], ["following"])
    found = against_people(judged, ratings, 200, rng())["following"]
    expected = stats.pearsonr(values, levels.mean(axis=1)).statistic
    assert found["pearson"]["mean"] == pytest.approx(expected, abs=1e-6)
    assert found["pearson"]["low"] < expected < found["pearson"]["high"]
    assert found["people"]["mean"] == pytest.approx((levels.mean() - 1) / 4 * 100, abs=1e-4)
    assert (found["images"], found["raters"], found["ratings"]) == (40, 3, 120)


def test_alignment_is_compared_with_following_where_that_is_what_the_judge_scores(tmp_path) -> None:
    ratings = read_ratings(written(tmp_path, "id,rater,alignment,coherence\na,ann,4,2\n"))
    judged = Judged.of(["a"], [{"following": Score(4.0)}], ["following"])
    found = against_people(judged, ratings, 100, rng())
    assert found["alignment"]["perspective"] == "following"
    assert found["coherence"] == {"reason": "the judge scores nothing like coherence"}


def test_an_image_that_the_judge_did_not_score_is_left_out_and_counted(tmp_path) -> None:
    text = "id,rater,following\n" + "".join(
        f"{name},ann,{at + 1}\n" for at, name in enumerate("abcd")
    )
    verdicts = [{"following": each} for each in (score(1), score(2), score(3), Unscored("refused"))]
    judged = Judged.of(list("abcd"), verdicts, ["following"])
    found = against_people(judged, read_ratings(written(tmp_path, text)), 100, rng())["following"]
    assert (found["images"], found["unscored"]) == (3, 1)
    assert found["pearson"]["mean"] == pytest.approx(1)


def test_the_ratings_of_a_study_are_peoples_answers_by_question(tmp_path) -> None:
    rows = ["a,set,following,5,ann,person", "a,set,following,3,bob,person", "a,set,quality,1,ann,"]
    head = "item,editor,question,value,rater,kind"
    path = written(tmp_path, "\n".join([head, *rows, "a,set,following,1,vlm,judge"]))
    assert read_ratings(path).points == {
        "following": {"a": {"ann": 100, "bob": 50}},
        "quality": {"a": {"ann": 0}},
    }
    with pytest.raises(RecipeError, match="one editor's results"):
        read_ratings(written(tmp_path, "\n".join([head, *rows, "a,other,quality,1,ann,"])))
    with pytest.raises(RecipeError, match="unknown column 'beauty'"):
        read_ratings(written(tmp_path, "\n".join([head, "a,set,beauty,1,ann,"])))


def test_clip_s_direction_stands_beside_the_judge_as_in_hq_edit_s_table_4(tmp_path) -> None:
    numbers = np.random.default_rng(7)
    levels = numbers.integers(1, 6, 30)
    direction = numbers.normal(25, 5, 30)
    direction[4] = np.nan  # a picture without captions
    lines = [f"i{at},ann,{level}" for at, level in enumerate(levels)]
    ratings = read_ratings(written(tmp_path, "\n".join(["id,rater,alignment", *lines])))
    names = [f"i{at}" for at in range(30)]
    values = np.clip(levels + numbers.normal(0, 1, 30), 0, 5) * 20
    verdicts = [{"alignment": Score(float(value))} for value in values]
    judged = Judged.of(names, verdicts, ["alignment"])
    found = against_people(judged, ratings, 100, rng(), direction)
    there = np.isfinite(direction)
    expected = stats.pearsonr(direction[there], levels[there]).statistic
    beside = found["alignment"]["clip_direction"]
    assert beside["pearson"]["mean"] == pytest.approx(expected, abs=1e-5)
    assert beside["judge"]["mean"] == pytest.approx(direction[there].mean(), abs=1e-3)
    assert (beside["images"], beside["unscored"]) == (29, 1)
    rows = rivals({"perspectives": found})
    assert list(rows) == ["judge: alignment", "CLIP direction: alignment", "people: alignment"]
    assert rows["people: alignment"]["Pearson"].text == "1.00"
    assert rows["CLIP direction: alignment"]["Pearson"].text == f"{expected:.2f}".replace("-", "−")


def test_without_clip_s_weights_its_row_has_the_reason_and_the_command(tmp_path) -> None:
    ratings = read_ratings(written(tmp_path, "id,rater,following,quality\na,ann,4,2\n"))
    judged = Judged.of(["a"], [{"following": Score(4.0)}], ["following"])
    absent = UnavailableError("no weights", command="get them")
    found = against_people(judged, ratings, 100, rng(), absent)
    assert found["following"]["clip_direction"] == {"reason": "no weights", "command": "get them"}
    assert "clip_direction" not in found["quality"]
    assert rivals({"perspectives": found})["CLIP direction: following"] == {}


def test_clip_s_direction_of_pairs_is_in_points_of_100(tmp_path) -> None:
    words = Captions("a cat", "a dog")
    pairs = [replace(TruthPairs(0, 1)[at].pair, captions=words) for at in (0, 5)]
    bare = replace(pairs[0], captions=Captions())
    made = ClipDirection(tmp_path / "kept", str(save_clip(tmp_path / "clip")))
    metric = choose(f"clip:direction?model={tmp_path / 'clip'}&crop=none").metric
    expected = [100 * score.value for score in metric.measure(pairs)]
    points = made.points([*pairs, bare])
    assert points[:2] == pytest.approx(expected, abs=1e-6)
    assert np.isnan(points[2])
    missing = ClipDirection(tmp_path / "kept", str(tmp_path / "absent"))
    assert isinstance(missing.points(pairs), UnavailableError)
    assert missing.parameters != made.parameters
