"""`calibrate` as one call: every question asked once; a file, a page and a table as results."""

import json
import re
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from calibration_judges import CountingJudge, FirstPlace
from editloop.chat.fake.server import FakeServer
from editloop.cli import app
from editloop.errors import RecipeError
from editloop.images.codec import encode_png
from editloop.judges.calibration.calibrating import calibrate, estimate_calibration
from editloop.judges.calibration.numbers import number
from editloop.judges.calibration.pairs import TruthPairs
from editloop.judges.calibration.table import print_calibration
from evaluation_pages import Elements

pytestmark = pytest.mark.slow

COUNTING = "python:calibration_judges:CountingJudge"
SMALL = {"pairs": 56, "resamples": 100}
RUBRIC = """
name: quick
version: 1
title: Was it done?
source: none
pictures: {format: jpeg, height: 32}
perspectives: {following: {low: 0, high: 5, value: score, passed: done}}
prompt: "{source} {edited} {instruction} Answer with score and done."
"""


def sheet(folder: Path, ids: list[str]) -> Path:
    path = folder / "ratings.csv"
    rows = [f"{name},ann,{1 + at % 5},{5 - at % 4}" for at, name in enumerate(ids)]
    path.write_text("\n".join(["id,rater,following,coherence", *rows]), encoding="utf-8")
    return path


def make_rated(folder: Path) -> list[str]:
    """Make a user's data set of four edits, and return their ids."""
    folder.mkdir()
    lines = []
    for at in range(4):
        pair = TruthPairs(0, 7)[8 * at].pair
        for name in ("source", "target"):
            (folder / f"{at}-{name}.png").write_bytes(encode_png(getattr(pair, name)))
        names = {"source": f"{at}-source.png", "target": f"{at}-target.png"}
        lines.append(json.dumps({"id": f"s{at}", "instruction": pair.instruction, **names}))
    (folder / "metadata.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return [f"s{at}" for at in range(4)]


@pytest.fixture(autouse=True)
def _not_interrupted():
    CountingJudge.stops_at = -1


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Make two calibrations: of a judge, and, with all comparisons, of its changed version."""
    folder = tmp_path_factory.mktemp("calibration")
    calibrate(f"{COUNTING}?drift=1", folder / "then", **SMALL)
    ids = [each.facts.id for each in TruthPairs(0, 7)][::3]
    beside = {"frozen": folder / "then/frozen.parquet", "ratings": sheet(folder, [*ids, "other"])}
    calibrate(COUNTING, folder / "now", **SMALL, **beside)
    return folder


def results(folder: Path):
    return json.loads((folder / "calibration.json").read_text(encoding="utf-8"))


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_every_question_has_an_answer(made) -> None:
    found = results(made / "now")
    assert found["truth"]["pairs"] == 56
    assert found["sanity"]["edits"] == 7
    assert found["repeats"]["rounds"] == 3
    assert found["repeats"]["perspectives"]["following"]["same"]["mean"] == 1
    assert found["drift"]["perspectives"]["quality"]["change"]["mean"] > 10
    assert found["people"]["not_found"] == 1
    assert found["people"]["perspectives"]["coherence"]["perspective"] == "quality"
    assert not found["open"]


def test_a_judge_that_only_looks_for_changes_fails_where_it_should(made) -> None:
    checks = results(made / "now")["sanity"]["checks"]
    failed = {row["check"] for row in checks if row["outcome"] == "fail"}
    assert {"swapped instruction", "shuffled pair", "source and target swapped"} <= failed
    assert "untouched copy" not in failed


def test_a_second_run_asks_nothing_and_changes_nothing(made) -> None:
    before, shown = files(made / "then"), CountingJudge.shown
    calibrate(f"{COUNTING}?drift=1", made / "then", **SMALL)
    assert CountingJudge.shown == shown
    assert files(made / "then") == before


def test_more_repeats_ask_for_themselves_alone(made, tmp_path) -> None:
    shutil.copytree(made / "then", tmp_path / "more")
    shown = CountingJudge.shown
    calibrate(f"{COUNTING}?drift=1", tmp_path / "more", **SMALL, repeats=4)
    assert CountingJudge.shown - shown == 56


def test_an_interrupted_one_asks_only_the_rest_and_gives_the_bytes_of_a_whole_one(
    made, tmp_path
) -> None:
    start = CountingJudge.shown
    CountingJudge.stops_at = start + 56 + 64
    with pytest.raises(KeyboardInterrupt):
        calibrate(f"{COUNTING}?drift=1", tmp_path, **SMALL)
    stopped, CountingJudge.stops_at = CountingJudge.shown, -1
    calibrate(f"{COUNTING}?drift=1", tmp_path, **SMALL)
    assert stopped - start == 56 + 64
    assert CountingJudge.shown - start == 56 + 7 * 19 + 2 * 56
    assert files(tmp_path) == files(made / "then")


def test_verdicts_that_are_missing_for_now_are_asked_for_again(tmp_path) -> None:
    busy = "python:calibration_judges:BusyJudge"
    for _ in range(2):
        shown = CountingJudge.shown
        found = calibrate(busy, tmp_path, **SMALL, repeats=1)
        assert found["open"]
        assert CountingJudge.shown - shown == 56 + 7 * 19
    assert found["truth"]["perspectives"]["following"]["coverage"] == 0
    words = ["calibrate", "--judge", busy, "--pairs", "56", "--repeats", "1"]
    told = CliRunner().invoke(app, [*words, "--out", str(tmp_path)])
    assert told.exit_code == 1
    assert "error: the judge: nothing was scored: " in told.output


def test_the_page_is_whole_and_loads_nothing(made) -> None:
    page = (made / "now/calibration.html").read_text(encoding="utf-8")
    elements = Elements(page)
    assert not elements.loads
    assert "swapped instruction" in elements.texts
    assert len(elements.of("svg")) == 2
    assert all(image["src"].startswith("data:") for image in elements.of("img"))
    assert not re.search(r"\bnan\b|None", " ".join(elements.texts))


def test_a_judges_name_and_words_are_shown_as_text(tmp_path) -> None:
    found = calibrate("python:calibration_judges:RudeJudge", tmp_path, **SMALL, repeats=1)
    page = (tmp_path / "calibration.html").read_text(encoding="utf-8")
    assert found["judge"]["name"] == "<script>alert(1)</script>"
    assert "<script" not in page
    assert "&lt;script&gt;" in page


@pytest.mark.parametrize("part", ["then", "now"])
def test_what_is_printed_fits_80_columns(part, made, capsys) -> None:
    print_calibration(results(made / part))
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 80
    assert "yes/no" in printed
    assert "swapped instruction" in printed


def test_a_judge_of_two_edits_is_asked_for_preferences(tmp_path, capsys) -> None:
    FirstPlace.asked = 0
    spec = "python:calibration_judges:FirstPlace"
    for _ in range(2):
        found = calibrate(spec, tmp_path, **SMALL)
    assert FirstPlace.asked == 28
    assert found["preferences"]["place"]["mean"] == 1
    print_calibration(found)
    assert "+100.0%" in capsys.readouterr().out
    assert "28" in Elements((tmp_path / "calibration.html").read_text()).texts


def test_ratings_of_a_data_set_are_compared_with_what_the_judge_says_of_it(tmp_path) -> None:
    ids = make_rated(tmp_path / "data")
    ratings = sheet(tmp_path, ids)
    found = calibrate(COUNTING, tmp_path / "out", **SMALL, ratings=ratings, data=tmp_path / "data")
    people = found["people"]["perspectives"]["following"]
    assert (people["images"], people["raters"], people["judge"]["mean"]) == (4, 1, 80)


@pytest.fixture
def server():
    with FakeServer(lambda _: '{"score": 4, "done": "yes"}') as running:
        yield running


def vlm(server, folder: Path) -> str:
    (folder / "quick.yaml").write_text(RUBRIC, encoding="utf-8")
    spec = "python:editloop.judges.vlm:VlmJudge?target=fake"
    return f"{spec}&base_url={server.base_url}&rubrics={folder / 'quick.yaml'}"


def test_a_model_is_asked_once_and_anew_in_each_round_and_each_calibration(
    server, tmp_path
) -> None:
    judge = vlm(server, tmp_path)
    estimate = estimate_calibration(judge, tmp_path / "a", **SMALL)
    assert server.seen.requests == 0
    calibrate(judge, tmp_path / "a", **SMALL)
    first = server.seen.requests
    assert first == estimate.calls
    calibrate(judge, tmp_path / "a", **SMALL)
    assert server.seen.requests == first
    frozen = tmp_path / "a/frozen.parquet"
    calibrate(judge, tmp_path / "b", **SMALL, repeats=1, frozen=frozen)
    assert server.seen.requests > first


def test_a_frozen_set_is_not_answered_by_an_older_ledger(server, made, tmp_path) -> None:
    judge = f"{vlm(server, tmp_path)}&ledger={tmp_path / 'old.sqlite'}"
    with pytest.raises(RecipeError, match="old replies in a ledger would hide a drift"):
        calibrate(judge, tmp_path, **SMALL, frozen=made / "then/frozen.parquet")


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"pairs": 8}, "greater than or equal to 56"),
        ({"data": "somewhere"}, "needs `ratings`"),
        ({"levels": (5, 1)}, "the worst and the best rating"),
        ({"pear": 8}, "did you mean 'pairs'?"),
    ],
)
def test_wrong_settings_are_refused(settings, told, tmp_path) -> None:
    with pytest.raises(RecipeError, match=re.escape(told)):
        calibrate(COUNTING, tmp_path, **settings)


def test_a_judge_of_nothing_that_is_known_is_refused(tmp_path) -> None:
    with pytest.raises(RecipeError, match="scores no perspective that a calibration supports"):
        calibrate("python:calibration_judges:TasteJudge", tmp_path, **SMALL)


def test_ratings_of_something_else_are_refused(tmp_path) -> None:
    ratings = sheet(tmp_path, ["not/there"])
    with pytest.raises(RecipeError, match="none of the rated ids is in the data"):
        calibrate(COUNTING, tmp_path / "out", **SMALL, ratings=ratings)


def test_numbers_are_written_as_people_read_them() -> None:
    entry = {"low": -0.04, "mean": 0.5, "high": 1.0, "count": 3}
    assert number("share", {**entry, "low": 0.25}).text == "50.0%"
    assert number("coefficient", entry).low == "−0.04"
    assert number("change", {**entry, "mean": -0.01}, 20).text == "0.0"
    assert number("change", {**entry, "mean": 20.0}, 20).at[1] == 1.0
    assert number("points", None).text == "-"
