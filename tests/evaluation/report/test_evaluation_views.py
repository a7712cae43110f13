"""Views of numbers, losses and times in the report, and the choice of samples."""

import json
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from editloop.evaluation.report.roster import colours_of
from editloop.evaluation.report.rundata import loss_curves
from editloop.evaluation.report.views import benchmarks, duration, spent
from editloop.schema import Json
from editloop.showing.curves import sweep_chart
from editloop.showing.figures import PALETTE, Axis, Line, bars, lines
from editloop.showing.labels import label, less_is_better, ranked_by
from editloop.showing.survey import choose, find_samples, splits, survey
from editloop.showing.tables import Absence, by_metric, by_slice, main_metrics
from editloop.storage.samples import arrow_schema, to_row
from evaluation_fakes import single_edits


def entry(mean: float, **changes: Json) -> Json:
    return {
        "mean": mean,
        "low": mean - 0.1,
        "high": mean + 0.1,
        "count": 8,
        "coverage": 1.0,
        **changes,
    }


MISSING = {"mean": None, "reason": "no weights", "command": "get x"}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (59.4, "59 s"), (192, "3 min 12 s"), (7500, "2 h 5 min")],
)
def test_times_are_said_as_people_say_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_time_is_listed_by_part_in_the_loops_order() -> None:
    timings = {
        "evaluation/darkroom": {
            "seconds": 9.0,
            "editors": {"plain": {"edits": 30, "edit_seconds": 4.0, "measure_seconds": 2.0}},
        },
        "models/plain": {"seconds": 18.0, "steps": 1250},
        "evaluation/emu": {"seconds": 1.8, "encodes": {"images_encoded": 1200, "texts_found": 0}},
        "build": {"seconds": 3.0, "steps": {"darkroom": 2.0}},
    }
    rows = [(row.name, row.seconds, row.note, row.level, row.share) for row in spent(timings)]
    assert rows == [
        ("build", 3.0, "", 0, 16.7),
        ("darkroom", 2.0, "", 1, 11.1),
        ("models/plain", 18.0, "1,250 steps", 0, 100.0),
        ("evaluation/darkroom", 9.0, "", 0, 50.0),
        ("plain", 6.0, "30 edits, edit 4.0 s, measure 2.0 s", 1, 33.3),
        ("evaluation/emu", 1.8, "1,200 images encoded", 0, 10.0),
    ]


def test_a_cell_draws_its_interval_to_the_columns_scale() -> None:
    scores = {"a": {"l1": entry(0.3)}, "b": {"l1": entry(0.1, low=0.05, high=0.2)}}
    table = by_metric(scores, ["a", "b"], ["l1"])
    first, second = (cells[0] for _, cells in table.rows)
    assert (first.left, first.at, first.right) == (50.0, 75.0, 100.0)
    assert (second.left, second.at, second.right) == (12.5, 25.0, 50.0)
    assert second.interval == "0.0500 to 0.2000"
    assert table.columns[0].better == "less is better"


def test_a_number_on_part_of_the_cases_says_how_many() -> None:
    scores = {"a": {"following_accuracy": entry(0.5, coverage=0.4)}}
    (_, (cell,)), *_ = by_metric(scores, ["a"], ["following_accuracy"]).rows
    assert (cell.text, cell.count, cell.whole) == ("50.0%", 8, False)


def test_an_empty_cell_gives_its_reason_once() -> None:
    scores = {name: {"l1": MISSING, "ssim": MISSING} for name in ("a", "b")}
    table = by_metric(scores, ["a", "b"], ["l1", "ssim"])
    assert table.absences == [Absence("everything", "no weights", "get x")]
    assert {cell.text for _, cells in table.rows for cell in cells} == {"–"}


def test_absences_name_columns_rows_and_what_is_left() -> None:
    none = dict.fromkeys(("l1", "ssim"), MISSING)
    scores = {"a": {"l1": entry(0.2), "ssim": MISSING}, "b": {"l1": MISSING, "ssim": MISSING}}
    two = {**scores, "c": {"l1": entry(0.1), "ssim": MISSING}}
    assert by_metric(two, ["a", "c"], ["l1", "ssim"]).absences[0].what == "SSIM"
    assert by_metric(two, ["a", "b", "c"], ["l1", "ssim"]).absences[0].what == "b; SSIM"
    mixed = {"a": scores["a"], "c": {"l1": entry(0.1), "ssim": entry(0.3)}, "gone": none}
    assert by_metric(mixed, list(mixed), ["l1", "ssim"]).absences[0].what == "gone; SSIM of a"


def test_the_best_is_marked_by_what_a_metric_measures() -> None:
    scores = {
        "a": {"far": entry(0.2), "ssim": entry(0.5)},
        "b": {"far": entry(0.3), "ssim": entry(0.6)},
    }
    measured = {"far": "lpips", "ssim": "ssim"}
    table = by_metric(scores, ["a", "b"], ["far", "ssim"], measured)
    assert [[cell.best for cell in cells] for _, cells in table.rows] == [
        [True, False],
        [False, True],
    ]
    assert [column.better for column in table.columns] == ["less is better", "more is better"]
    assert not any(
        cell.best for _, cells in by_metric(scores, ["a", "b"], ["ssim"]).rows for cell in cells
    )


def test_the_best_is_among_those_with_the_most_cases_and_no_tie() -> None:
    easy = entry(0.9, count=4, coverage=0.5)
    scores = {"easy": {"ssim": easy}, "a": {"ssim": entry(0.5)}, "b": {"ssim": entry(0.6)}}
    rows = by_metric(scores, ["easy", "a", "b"], ["ssim"], {}).rows
    assert [cells[0].best for _, cells in rows] == [False, False, True]
    even = {"a": {"ssim": entry(0.5)}, "b": {"ssim": entry(0.5)}}
    assert not any(cells[0].best for _, cells in by_metric(even, ["a", "b"], ["ssim"], {}).rows)


def test_a_negative_interval_is_drawn_inside_the_bar() -> None:
    table = by_metric({"a": {"clip_dir": entry(0.1, low=-0.1, high=0.3)}}, ["a"], ["clip_dir"])
    (cell,) = table.rows[0][1]
    assert (cell.left, cell.at, cell.right) == (0.0, 50.0, 100.0)


@pytest.mark.parametrize(("coverage", "share"), [(0.999, "99%"), (0.5, "50%"), (0.001, "1%")])
def test_part_of_the_cases_is_never_all_or_none(coverage: float, share: str) -> None:
    table = by_metric({"a": {"l1": entry(0.1, coverage=coverage)}}, ["a"], ["l1"])
    assert table.rows[0][1][0].share == share


def test_slices_say_their_cases_and_turns_come_in_order() -> None:
    by_turn = {turn: {"l1": entry(0.1, coverage=0.5)} for turn in ("10", "2", "1")}
    table = by_slice({"a": {"turn": by_turn}}, ["a"], "turn", "l1")
    assert [column.name for column in table.columns] == ["1", "2", "10"]
    assert table.columns[0].note == "16 cases"


def test_the_first_table_of_a_protocol_has_its_metrics() -> None:
    assert main_metrics(["l1", "l2", "clip_i"]) == ["l1", "l2", "clip_i"]
    darkroom = ["following_accuracy", "following_score", "all_accuracy", "l1", "l2"]
    assert main_metrics(darkroom) == ["following_accuracy", "all_accuracy", "l1"]


@pytest.mark.parametrize(
    ("metric", "words"),
    [
        ("clip_i", "CLIP-I"),
        ("clip_t_inside", "CLIP-T inside the mask"),
        ("clip_dir", "CLIP direction"),
        ("clip_image", "CLIP image"),
        ("dinov2", "DINOv2"),
        ("lpips_outside", "LPIPS outside the mask"),
        ("structure_distance", "structure distance"),
        ("semantic_consistency", "semantic consistency"),
        ("my_own", "my own"),
    ],
)
def test_metrics_of_protocols_have_names_in_words(metric: str, words: str) -> None:
    assert label(metric) == words


def test_less_is_better_of_distances_whatever_a_card_calls_them() -> None:
    less = ["l1", "l2_outside", "lpips", "structure_distance", "background_mse", "My_Error"]
    more = ["psnr", "ssim_outside", "clip_i", "dino", "overall", "following_score", "my_own"]
    assert [less_is_better(name) for name in less + more] == [True] * 6 + [False] * 7
    assert less_is_better("background", "lpips_outside")


def test_cases_are_ranked_by_overall_or_the_first_that_is_no_yes_or_no() -> None:
    assert ranked_by(["following", "overall"]) == "overall"
    assert ranked_by(["following_accuracy", "following_score", "l1"]) == "following_score"
    assert ranked_by(["following_accuracy"]) is None


def test_the_points_of_a_sweep_are_a_line_an_editor_with_its_values() -> None:
    names = {"a@1": (0.7, 0.1), "a@1.5": (0.8, 0.2), "b@1": (0.9, 0.3)}
    scores = {
        name: {"clip_image": entry(x), "clip_dir": entry(y)} for name, (x, y) in names.items()
    }
    curves = {
        "a": [{"name": "a@1", "value": 1.0}, {"name": "a@1.5", "value": 1.5}],
        "b": [{"name": "b@1", "value": 1.0}, {"name": "b@1.5", "value": 1.5}],
    }
    sweep = {"across": "clip_image", "up": "clip_dir", "curves": curves}
    chart = sweep_chart(scores, sweep, dict.fromkeys("ab", PALETTE[1]))
    assert chart is not None
    said = "CLIP direction against CLIP image: a at 1: 0.7000, 0.1000; 1.5: 0.8000, 0.2000"
    assert f'aria-label="{said}"' in chart
    assert ">1.5</text>" in chart
    assert sweep_chart({}, sweep, {}) is None


def test_editors_that_do_nothing_are_grey_and_a_curve_has_one_colour() -> None:
    seats = [{"name": f"a@{value}", "value": value} for value in (1, 2)]
    facts = {
        "protocol": {"name": "x"},
        "editors": [
            {"name": "a@1", "fingerprint": "x"},
            {"name": "a@2", "fingerprint": "x"},
            {"name": "still", "fingerprint": "copy-1"},
        ],
        "sweep": {"curves": {"a": seats}},
    }
    scores: Json = {name: {} for name in ("a@1", "a@2", "still")}
    colours = colours_of({"evaluation": {"x/y": scores}, "benchmarks": {"x/y": facts}})
    assert colours == {
        "a": PALETTE[1], "a@1": PALETTE[1], "a@2": PALETTE[1], "still": PALETTE[0]
    }  # fmt: skip


def test_a_slice_that_one_editor_lacks_is_empty_for_it() -> None:
    slices = {
        "a": {"type": {"add": {"l1": entry(0.2)}, "style": {"l1": entry(0.3)}}},
        "b": {"type": {"add": {"l1": entry(0.2)}}},
        "absent": {},
    }
    table = by_slice(slices, ["a", "b", "absent"], "type", "l1")
    assert [column.name for column in table.columns] == ["add", "style"]
    assert [name for name, _ in table.rows] == ["a", "b"]
    assert table.rows[1][1][1].text == "–"


def test_benchmarks_come_single_edits_first_and_with_masks_last() -> None:
    scores = {"a": {"l1": entry(0.2)}}
    turns = {"a": {"turn": {str(turn): scores["a"] for turn in (1, 2, 3)}}}
    names = ["darkroom/sessions", "darkroom/single-turn", "darkroom/single-turn/mask"]
    results = {"evaluation": dict.fromkeys(names, scores), "slices": {"darkroom/sessions": turns}}
    views = benchmarks(results)
    assert [view.name for view in views] == [names[1], names[0], names[2]]
    assert [bool(view.drift) for view in views] == [False, True, False]


def test_an_editor_has_one_colour_and_the_benchmarks_order() -> None:
    scores = {"b": {"l1": entry(0.2)}, "a": {"l1": entry(0.2)}}
    facts = {"editors": [{"name": "b", "fingerprint": "x"}, {"name": "a", "fingerprint": None}]}
    (view,) = benchmarks({"evaluation": {"x/y": scores}, "benchmarks": {"x/y": facts}})
    assert view.colours == {"b": PALETTE[0], "a": PALETTE[1]}


def test_charts_are_the_same_bytes_and_escape_what_they_are_told() -> None:
    line = Line("a<b>$x", [1, 2], [0.1, 0.2], PALETTE[0], [0.0, 0.1], [0.2, 0.3], marked=True)
    chart = lines([line], Axis("turn"), 'of "a<b>"')
    assert chart == lines([line], Axis("turn"), 'of "a<b>"')
    assert chart.startswith('<svg role="img" aria-label="of &#34;a&lt;b&gt;&#34;"')
    assert "currentColor" in chart
    assert "#010203" not in chart
    assert bars({0.0: 1, 5.0: 3}, Axis("score", ticks=range(6)), PALETTE[0], "x").count("<svg") == 1


def test_a_choice_is_even_over_types_and_does_not_depend_on_order() -> None:
    names = {f"{kind}-{number}": kind for kind in ("add", "style", "local") for number in range(30)}
    chosen = choose(names, 7)
    assert sorted(Counter(names[name] for name in chosen).values()) == [2, 2, 3]
    assert chosen == choose(dict(reversed(names.items())), 7)
    assert choose(names, 0) == []


@pytest.fixture
def data(tmp_path: Path) -> Path:
    table = pa.Table.from_pylist([to_row(each) for each in single_edits(20)], schema=arrow_schema())
    for part, rows in enumerate((table.slice(0, 12), table.slice(12))):
        path = tmp_path / f"train-{part:05d}-of-00002.parquet"
        pq.write_table(rows, path, row_group_size=5)
    return tmp_path


def test_a_survey_counts_types_and_rewards_and_chooses_evenly(data: Path) -> None:
    found = survey(data, "train", 6)
    assert found.rows == 20
    assert found.types == {"local": 7, "global": 7, "style": 6}
    assert found.scores["quality"] == {5.0: 20}
    kinds = find_samples(data, "train", found.chosen)
    assert Counter(kinds[name].edit_type.value for name in found.chosen) == {
        "local": 2,
        "global": 2,
        "style": 2,
    }


def test_samples_are_found_by_id_over_files_and_row_groups(data: Path) -> None:
    made = {each.id: each for each in single_edits(20)}
    wanted = [name for name in made if name.endswith(("03/0", "17/0"))]
    assert find_samples(data, "train", [*wanted, "nowhere"]) == {
        name: made[name] for name in wanted
    }


def test_splits_are_listed_with_train_first(data: Path) -> None:
    run = data / "run"
    (run / "data").mkdir(parents=True)
    for name in ("heldout-00000-of-00001", "train-00000-of-00001", "extra-set-00000-of-00001"):
        (run / "data" / f"{name}.parquet").touch()
    assert splits(run) == ["train", "extra-set", "heldout"]


def test_loss_curves_keep_only_what_was_measured(tmp_path: Path) -> None:
    folder = tmp_path / "models" / "plain"
    folder.mkdir(parents=True)
    lines_ = [{"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.0, "validation_loss": 1.5}]
    (folder / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines_)) + "\n")
    curve = loss_curves(tmp_path)["plain"]
    assert (curve.steps, curve.losses) == ([1, 2], [2.0, 1.0])
    assert (curve.validation_steps, curve.validation_losses) == ([2], [1.5])
