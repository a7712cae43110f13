"""Statistics of rewards: counted by hand here, and shown on a page that loads nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from editloop.errors import RecipeError
from editloop.images.codec import encode_png
from editloop.loop.parts import PartContext, PartResult
from editloop.quality.rewards.statistics import RewardStatistics
from editloop.quality.rewards.table import print_rewards
from editloop.quality.rewards.tallies import tally_split
from editloop.quality.rewards.wording import words_of
from editloop.schema import (
    PERSPECTIVES,
    EditSample,
    EditType,
    Image,
    Json,
    Score,
    Unscored,
    Verdict,
)
from editloop.showing.score_charts import below_highest, histogram
from editloop.storage.samples import arrow_schema, to_row
from evaluation_pages import Elements

GREY = Image(encode_png(np.full((8, 8, 3), 120, np.uint8)))
TYPES = (EditType.ADD, EditType.STYLE, None)


def sample(at: int, scores: Verdict, session: str | None = None) -> EditSample:
    return EditSample(
        f"s{at:04d}", GREY, "do it", GREY, edit_type=TYPES[at % 3], scores=scores, session=session
    )


def rewarded(count: int) -> list[EditSample]:
    """Following goes round 0 to 5 by fifths, preserving is unscored in every fourth, quality 5."""
    made = []
    for at in range(count):
        value = (at % 26) / 5
        text = "None" if value == 5 else f"The sky was not CHANGED, level {at % 2}"
        scores: dict[str, Score | Unscored] = {
            "following": Score(value, value >= 3, text, "j1"),
            "preserving": Unscored("refused", "j1") if at % 4 == 0 else Score(2.0, False, "moved"),
            "quality": Score(5.0, text="None", version="j1"),
        }
        made.append(sample(at, scores))
    return made


def run_of(folder: Path, samples: Sequence[EditSample], split: str = "train") -> Path:
    path = folder / "data" / f"{split}-00000-of-00001.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist([*map(to_row, samples)], arrow_schema()), path)
    return folder


def made(run: Path, **settings: Json) -> tuple[PartResult, Path]:
    output = run / "output"
    output.mkdir(exist_ok=True)
    context = PartContext("rewards", 0, run, run / "work", run / "cache", output, inputs="x")
    part = RewardStatistics(RewardStatistics.Settings(resamples=100, **settings))
    return part.run(context), output


def tally(run: Path) -> Json:
    return tally_split(run / "data", "train", seed=0, resamples=100).to_json()


def test_scores_are_counted_to_the_nearest_tenth_of_their_scale(tmp_path: Path) -> None:
    found = tally(run_of(tmp_path, rewarded(52)))["scores"]["following"]
    values = [(at % 26) / 5 for at in range(52)]
    due = {edge / 2: sum(round(2 * value) == edge for value in values) for edge in range(11)}
    assert dict(found["histogram"]) == due
    assert found["below_highest"] == pytest.approx(sum(round(2 * v) < 10 for v in values) / 52)
    assert (found["scored"], found["scale"]) == (52, [0, 5])


def test_means_and_shares_are_those_of_the_scores(tmp_path: Path) -> None:
    samples = rewarded(40)
    means = tally(run_of(tmp_path, samples))["means"]
    values = np.array([each.scores["following"].value for each in samples])
    assert means["all"]["following_score"]["mean"] == pytest.approx(values.mean(), abs=1e-6)
    assert means["all"]["following_accuracy"]["mean"] == pytest.approx((values >= 3).mean())
    styles = values[[at for at in range(40) if TYPES[at % 3] is EditType.STYLE]]
    assert means["types"]["style"]["following_score"]["mean"] == pytest.approx(
        styles.mean(), abs=1e-6
    )
    low, high = (means["all"]["following_score"][key] for key in ("low", "high"))
    assert low < values.mean() < high


def test_what_is_unscored_lowers_the_coverage_and_nothing_else(tmp_path: Path) -> None:
    found = tally(run_of(tmp_path, rewarded(40)))
    assert found["scores"]["preserving"]["unscored"] == {"refused": 10}
    score = found["means"]["all"]["preserving_score"]
    assert (score["mean"], score["count"], score["coverage"]) == (2.0, 30, 0.75)


def test_a_judge_without_yes_or_no_has_no_accuracy(tmp_path: Path) -> None:
    assert "quality_accuracy" not in tally(run_of(tmp_path, rewarded(5)))["means"]["all"]


def test_words_are_counted_once_a_text_and_clean_texts_apart(tmp_path: Path) -> None:
    found = tally(run_of(tmp_path, rewarded(26)))["scores"]["following"]
    assert (found["texts"], found["clean"]) == (25, 1)
    assert found["words"] == [["changed", 25], ["level", 25], ["sky", 25]]


def test_words_are_cut_from_any_text() -> None:
    assert words_of("The CAT's colour-cast is not 3x too STRONG; ein Größen-Fehler, x 你好") == {
        *("cat's", "colour-cast", "strong", "ein", "größen-fehler", "你好")
    }


def test_scores_of_other_scales_have_bins_of_their_own(tmp_path: Path) -> None:
    scores = [{"alignment": Score(float(value)), "own": Score(value / 99)} for value in (0, 55, 98)]
    run = run_of(tmp_path, [sample(at, each) for at, each in enumerate(scores)])
    found = tally(run)["scores"]
    assert [value for value, count in found["alignment"]["histogram"] if count] == [0, 60, 100]
    assert found["own"]["scale"] == [0, 1]


def test_scores_below_zero_have_a_scale_on_both_sides(tmp_path: Path) -> None:
    run = run_of(tmp_path, [sample(0, {"own": Score(-0.4)}), sample(1, {"own": Score(0.2)})])
    found = tally(run)["scores"]["own"]
    assert (found["scale"], sum(count for _, count in found["histogram"])) == ([-1, 1], 2)


def test_a_histogram_keeps_what_lies_beyond_its_scale() -> None:
    assert sum(histogram({-3.0: 1, 2.0: 4, 9.0: 2}, 0, 5).values()) == 7
    assert below_highest(histogram({5.0: 1, 4.8: 1, 4.7: 2}, 0, 5), 5) == 0.5


def test_sessions_longer_than_a_chunk_stay_together(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("editloop.quality.rewards.tallies._CHUNK", 3)
    scores = {"quality": Score(4.0)}
    samples = [sample(at, scores, session="a" if at < 7 else None) for at in range(9)]
    found = tally(run_of(tmp_path, samples))["means"]["all"]["quality_score"]
    assert (found["mean"], found["count"]) == (4.0, 9)


def test_the_part_leaves_numbers_a_page_and_the_rewards(tmp_path: Path) -> None:
    run_of(run_of(tmp_path, rewarded(20)), [sample(99, {"quality": Score(1.0)})], "heldout")
    result, output = made(tmp_path)
    found = json.loads((output / "rewards.json").read_text("utf-8"))
    assert list(found["splits"]) == ["heldout", "train"]
    assert found["exported"] == {"written": 15, "left_out": 6}
    assert len(json.loads((output / "reward-edit.json").read_text("utf-8"))) == 15
    summary = result.results["rewards"]["rewards"]["train"]
    assert summary["samples"] == 20
    assert summary["below_highest"]["quality"] == 0
    assert summary["means"] == found["splits"]["train"]["means"]["all"]


def test_other_perspectives_are_not_exported_as_rewards(tmp_path: Path) -> None:
    run_of(tmp_path, [sample(0, {"alignment": Score(50.0)})])
    _, output = made(tmp_path)
    assert json.loads((output / "rewards.json").read_text())["exported"] is None
    assert not (output / "reward-edit.json").exists()


def test_the_same_data_gives_the_same_bytes(tmp_path: Path) -> None:
    run_of(tmp_path, rewarded(20))
    contents = []
    for _ in range(2):
        _, output = made(tmp_path)
        contents.append({path.name: path.read_bytes() for path in output.iterdir()})
    assert contents[0] == contents[1]


def test_data_without_scores_is_refused(tmp_path: Path) -> None:
    run_of(tmp_path, [sample(0, {})])
    with pytest.raises(RecipeError, match="the data has no scores to count"):
        made(tmp_path)


def test_data_of_which_nothing_came_through_says_where_to_look(tmp_path: Path) -> None:
    run_of(tmp_path, [])
    with pytest.raises(RecipeError, match=r"the data has no edits.*rejects") as raised:
        made(tmp_path)
    assert "editloop retry" in str(raised.value.fix)


def test_an_empty_split_is_no_error(tmp_path: Path) -> None:
    run_of(run_of(tmp_path, rewarded(3)), [], "heldout")
    _, output = made(tmp_path)
    assert json.loads((output / "rewards.json").read_text())["splits"]["heldout"]["samples"] == 0


def test_the_page_shows_distributions_words_and_what_is_missing(tmp_path: Path) -> None:
    run_of(tmp_path, rewarded(40))
    _, output = made(tmp_path, samples=4)
    page = Elements((output / "rewards.html").read_text("utf-8"))
    assert page.loads == set()
    assert len([each for each in page.of("svg") if each.get("role") == "img"]) == 3
    assert len(page.of("article")) == 4
    assert "sky" in page.texts
    assert any(text.startswith("95% of 40 below 5") for text in page.texts)
    assert {"10", "preserving", ": refused"} <= set(page.texts)


def test_texts_of_strangers_are_escaped(tmp_path: Path) -> None:
    run_of(tmp_path, [sample(0, {"quality": Score(1.0, text="<script>alert(1)</script>")})])
    _, output = made(tmp_path)
    assert "<script>alert" not in (output / "rewards.html").read_text("utf-8")


def test_the_terminals_table_says_what_is_unscored_and_what_waits(tmp_path: Path, capsys) -> None:
    scores = {name: Unscored("no true target is known") for name in PERSPECTIVES}
    run_of(tmp_path, [sample(0, {**scores, "quality": Score(4.0, True)}), sample(1, scores)])
    result, _ = made(tmp_path)
    print_rewards({**result.results, "build": {"by_class": {"transient": 3}}})
    printed = capsys.readouterr().out
    assert "following: no true target is known" in printed
    assert "50%" in printed
    assert "3 quarantined without a verdict" in printed
    assert max(map(len, printed.splitlines())) <= 80
