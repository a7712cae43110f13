"""Judging a data set: resumable, every edit accounted for, nothing judged twice."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image as Pillow
from typer.testing import CliRunner

from editloop.chat.fake.request import FakeRequest
from editloop.chat.fake.server import FakeServer, FakeSettings
from editloop.cli import app
from editloop.errors import ChangedError, RecipeError, UnavailableError
from editloop.images.codec import decode_mask, encode_png
from editloop.images.masks import NOWHERE
from editloop.judges.fake.truth import truth_answers
from editloop.judges.judge_data import dry_run, judge, judge_usage
from editloop.judges.samples import sample_pair
from editloop.loop import run as loop
from editloop.loop.recipe import Recipe
from editloop.schema import PERSPECTIVES, EditSample, Json, Score, Unscored
from editloop.settings import validate
from editloop.storage.samples import read_samples, to_row
from editloop.storage.verify import verify
from layout_folders import HEIGHT, WIDTH, metadata, picture, png, put
from odd_images import saved
from raw_server import raw_server, reply

pytestmark = pytest.mark.slow

MOODY = "moody=python:judging_parts:Moody"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with darkroom edits in two splits."""
    out = tmp_path_factory.mktemp("data") / "edits"
    recipe = {
        "name": "edits",
        "sources": [{"kind": "photos", "size": 48, "train": 20, "heldout": 4}],
        "build": [{"kind": "darkroom"}],
    }
    loop.run(validate(Recipe, recipe, where="test"), out, only=("build",), workers=1)
    return out


@pytest.fixture
def mood(tmp_path: Path) -> Path:
    """Return the folder of a judge that is calm."""
    folder = tmp_path / "mood"
    folder.mkdir()
    (folder / "mood").write_text("calm")
    return folder


REGION = np.zeros((HEIGHT, WIDTH), np.uint8)
REGION[4:30, 6:40] = 1


def folder_of(root: Path, mask: np.ndarray, photo: bytes | None = None) -> Path:
    """A folder of one edit with a mask."""
    for name, shade in (("a", 0), ("b", 3)):
        put(root / f"{name}.png", photo or png(shade=shade))
    put(root / "m.png", encode_png(mask))
    row = {"source": "a.png", "target": "b.png", "mask": "m.png", "instruction": "make it darker"}
    return metadata(root, [row])


def test_masks_of_a_folder_are_read_by_the_rule_or_quarantined(tmp_path: Path) -> None:
    data = folder_of(tmp_path / "data", REGION + 1)
    with pytest.raises(RecipeError, match="were dropped or quarantined"):
        judge(data, "metric", tmp_path / "out", workers=1)
    (row,) = quarantined(tmp_path / "out")
    assert row["code"] == "ambiguous-mask"
    assert "--mask-rule" in row["message"]
    for invert in (False, True):
        out = tmp_path / f"out-{invert}"
        judge(data, "metric", out, workers=1, mask_rule="index:2", invert_mask=invert)
        (sample,) = read_samples(out / "data", "train")
        due = REGION * 255
        assert np.array_equal(decode_mask(sample.mask.bytes), 255 - due if invert else due)


def test_with_a_black_mask_nothing_may_change(tmp_path: Path) -> None:
    judge(folder_of(tmp_path / "data", REGION * 0), "metric", tmp_path / "out", workers=1)
    (sample,) = read_samples(tmp_path / "out" / "data", "train")
    following, preserving = (sample.scores[name] for name in ("following", "preserving"))
    assert isinstance(following, Unscored)
    assert following.reason == NOWHERE
    assert isinstance(preserving, Score)
    assert preserving.value < 5


def test_a_mask_is_judged_turned_with_its_photo(tmp_path: Path) -> None:
    exif = Pillow.Exif()
    exif[0x0112] = 8
    data = folder_of(tmp_path / "data", REGION, saved(picture(), "JPEG", exif=exif))
    judge(data, "metric", tmp_path / "out", workers=1)
    (sample,) = read_samples(tmp_path / "out" / "data", "train")
    pair = sample_pair(sample).pair
    assert pair.source.shape[:2] == pair.mask.shape == (WIDTH, HEIGHT)
    assert np.array_equal(pair.mask, np.rot90(REGION) * 255)


def samples(run: Path) -> list[EditSample]:
    return [each for split in ("train", "heldout") for each in read_samples(run / "data", split)]


def quarantined(run: Path) -> list[dict[str, Json]]:
    found: list[dict[str, Json]] = pq.read_table(run / "rejects/quarantined.parquet").to_pylist()
    return found


def content_of(out: Path) -> dict[str, bytes]:
    """Return all published bytes without those that hold times."""
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file()
        and ".editloop" not in path.parts
        and path.name not in ("timings.json", "report.html")
    }


def moody(folder: Path) -> dict[str, Json]:
    return {"kind": "judging_parts:Moody", "name": "moody", "target": str(folder)}


def test_a_judged_data_set_has_its_samples_scores_and_statistics(
    data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    results = judge(data, "truth", out, workers=1)
    before, after = samples(data), samples(out)
    assert [each.id for each in after] == [each.id for each in before]
    for old, new in zip(before, after, strict=True):
        assert {**to_row(new), "scores": None} == {**to_row(old), "scores": None}
        assert {score.version for score in new.scores.values()} == {"truth-1"}
    means = results["rewards"]["rewards"]["train"]["means"]
    values = [each.scores["quality"].value for each in read_samples(out / "data", "train")]
    assert means["quality_score"]["mean"] == pytest.approx(sum(values) / 20)
    made = {path.name for path in (out / "evaluation/rewards").iterdir()}
    assert made == {"rewards.json", "rewards.html", "reward-edit.json"}
    assert verify(out) == []


def test_a_second_run_judges_nothing(data: Path, tmp_path: Path, mood: Path) -> None:
    first = judge(data, moody(mood), tmp_path / "out", workers=1)
    judge_usage, content = (mood / "judged").read_text(), content_of(tmp_path / "out")
    assert len(judge_usage.splitlines()) == 24
    assert judge(data, moody(mood), tmp_path / "out", workers=1) == first
    assert (mood / "judged").read_text() == judge_usage
    assert content_of(tmp_path / "out") == content


def test_every_edit_ends_in_one_place_though_the_judge_raises(
    data: Path, tmp_path: Path, mood: Path
) -> None:
    ids = [each.id for each in samples(data)]
    (mood / "mood").write_text(f"raises {ids[7]}")
    results = judge(data, moody(mood), tmp_path / "out", workers=1)
    assert [each.id for each in samples(tmp_path / "out")] == ids[:7] + ids[8:]
    (row,) = quarantined(tmp_path / "out")
    assert (row["id"], row["class"], row["code"]) == (ids[7], "bug", "ValueError")
    counts = results["build"]
    assert counts["in"] == 24 == sum(counts["inputs"].values())
    assert (counts["out"], counts["quarantined"], counts["dropped"]) == (23, 1, 0)


def test_a_verdict_that_may_yet_come_is_asked_for_by_retry(
    data: Path, tmp_path: Path, mood: Path
) -> None:
    ids = [each.id for each in samples(data)]
    whole, out = tmp_path / "whole", tmp_path / "out"
    judge(data, moody(mood), whole, workers=1)
    (mood / "judged").unlink()
    (mood / "mood").write_text(f"busy {ids[3]}")
    judge(data, moody(mood), out, workers=1)
    assert [row["id"] for row in quarantined(out)] == [ids[3]]
    (mood / "mood").write_text("calm")
    (mood / "judged").unlink()
    assert loop.retry(out, recipe=out / "recipe.json") == (1, 1)
    assert (mood / "judged").read_text().splitlines() == [ids[3]]
    assert samples(out) == samples(whole)


def test_stopped_by_a_lost_server_it_goes_on_and_ends_the_same(
    data: Path, tmp_path: Path, mood: Path
) -> None:
    ids = [each.id for each in samples(data)]
    whole, out = tmp_path / "whole", tmp_path / "out"
    judge(data, moody(mood), whole, workers=1)
    (mood / "mood").write_text(f"gone {ids[2]}")  # from the second split
    with pytest.raises(UnavailableError, match="the server is gone"):
        judge(data, moody(mood), out, workers=1)
    (mood / "mood").write_text("calm")
    judge(data, moody(mood), out, workers=1)
    assert content_of(out) == content_of(whole)


@pytest.fixture(scope="module")
def server(data: Path) -> Iterator[FakeServer]:
    with FakeServer(truth_answers(samples(data))) as running:
        yield running


def test_a_model_is_asked_once_and_says_what_the_truth_is(
    data: Path, tmp_path: Path, server: FakeServer
) -> None:
    spec = f"vlm:fake?base_url={server.base_url}&ledger={tmp_path / 'ledger.sqlite'}"
    expected = dry_run(data, spec, sample=6)
    assert (expected.found, expected.calls) == (0, 18)
    judge(data, spec, tmp_path / "out", sample=6, workers=1)
    assert server.seen.requests == judge_usage(spec, tmp_path / "out").attempts == 18
    expected = dry_run(data, spec, sample=6)
    assert (expected.found, expected.calls) == (18, 0)
    judge(data, spec, tmp_path / "again", sample=6, workers=1)  # another run, the same ledger
    assert server.seen.requests == 18
    assert judge_usage(spec, tmp_path / "again").attempts == 0
    assert judge_usage("truth", tmp_path / "out").attempts == 0
    judge(data, "truth", tmp_path / "truth", sample=6, workers=1)
    for given, known in zip(samples(tmp_path / "out"), samples(tmp_path / "truth"), strict=True):
        for name in PERSPECTIVES:
            said, due = given.scores[name], known.scores[name]
            assert isinstance(said, Score)
            assert isinstance(due, Score)
            assert said.value == pytest.approx(due.value, abs=0.05)
            assert said.passed == due.passed


def test_a_servers_key_is_in_no_file_of_a_run(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    key = "sk-SENTINEL-9f8e7d6c"
    monkeypatch.setenv("EDITLOOP_TEST_KEY", key)
    words = {"score": 3, "passed": "yes", "failures": f"I was asked with {key}"}
    reply = json.dumps(dict.fromkeys(PERSPECTIVES, words))

    def answers(request: FakeRequest) -> str:
        if request.number % 3 == 0:
            raise ValueError(f"the account of {key} is closed")
        return reply

    with FakeServer(answers, settings=FakeSettings(key=key)) as running:
        spec = f"vlm:fake?base_url={running.base_url}&key_env=EDITLOOP_TEST_KEY&rubrics=combined"
        judge(data, f"{spec}&ledger={tmp_path / 'ledger.sqlite'}", tmp_path / "out", workers=1)
    told = [each.scores["quality"] for each in samples(tmp_path / "out")]
    assert {type(each) for each in told} == {Score, Unscored}
    assert all("[key]" in str(each) for each in told)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path for path in files if key.encode() in path.read_bytes()] == []
    assert key not in "".join(capsys.readouterr())


def test_judging_by_truth_costs_nothing(data: Path) -> None:
    assert dry_run(data, "truth").calls == 0


def test_a_judge_may_be_a_file(data: Path, tmp_path: Path, mood: Path) -> None:
    file = tmp_path / "judge.yaml"
    file.write_text(json.dumps(moody(mood)))
    judge(data, file, tmp_path / "out", sample=5, workers=1)
    assert len((mood / "judged").read_text().splitlines()) == 5


def test_settings_of_the_source_reach_it(data: Path, tmp_path: Path, mood: Path) -> None:
    out = tmp_path / "out"
    judge(data, moody(mood), out, layout="published?split=heldout", workers=1)
    assert {path.name.partition("-")[0] for path in (out / "data").iterdir()} == {"heldout"}
    with pytest.raises(RecipeError, match="did you mean 'sample'"):
        judge(data, "truth", out, samples=3, workers=1)


def test_another_judge_is_refused_until_a_new_version_is_asked_for(
    data: Path, tmp_path: Path, mood: Path
) -> None:
    judge(data, moody(mood), tmp_path / "out", sample=3, workers=1)
    with pytest.raises(ChangedError, match="moody-1 -> truth-1"):
        judge(data, "moody=truth", tmp_path / "out", sample=3, workers=1)
    judge(data, "moody=truth", tmp_path / "out", sample=3, workers=1, new_version=True)
    (found, *_) = read_samples(tmp_path / "out/data", "train")
    assert found.scores["quality"].version == "truth-1"


def test_nothing_is_made_of_data_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no such folder of data"):
        judge(tmp_path / "gone", "truth", tmp_path / "out", workers=1)


def test_a_recipes_judges_are_steps_in_their_order(data: Path, tmp_path: Path, mood: Path) -> None:
    shutil.copytree(mood, tmp_path / "second")
    recipe = {
        "name": "two",
        "sources": [{"kind": "layout", "path": str(data), "sample": 4}],
        "judge": [
            {"kind": "truth", "prefix": "true_"},
            {**moody(tmp_path / "second"), "name": "second", "perspective": "quality"},
        ],
    }
    settings = validate(Recipe, recipe, where="test")
    rows = loop.dry_run(settings, tmp_path / "out")
    assert [row[0] for row in rows] == ["source.layout", "build.truth", "build.second"]
    loop.run(settings, tmp_path / "out", only=("judge",), workers=1)
    for sample in read_samples(tmp_path / "out/data", "train"):
        assert set(sample.scores) == {*PERSPECTIVES, *(f"true_{name}" for name in PERSPECTIVES)}
        assert sample.scores["quality"].version == "moody-1"
        assert sample.scores["following"].version == "darkroom-rewards-1"


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"kind": "thruth"}, "unknown judge kind: thruth"),
        ({"kind": "truth", "prefixx": "a"}, "unknown key"),
        ({"kind": "truth", "prefix": "a b"}, "prefix"),
    ],
)
def test_a_wrong_judge_is_refused_before_anything_runs(
    data: Path, tmp_path: Path, entry: dict[str, Any], words: str
) -> None:
    recipe = {"name": "x", "sources": [{"kind": "layout", "path": str(data)}], "judge": [entry]}
    with pytest.raises(RecipeError, match=words):
        loop.dry_run(validate(Recipe, recipe, where="test"), tmp_path)


PAGE = (200, {"Content-Type": "text/html"}, b"<html>Welcome</html>")


def test_a_server_that_is_none_stops_the_run_early_with_the_cause(data, tmp_path) -> None:
    with raw_server(lambda _: PAGE) as server:
        place = server.base_url.removesuffix("/v1")
        spec = f"vlm:m?base_url={place}&ledger={tmp_path / 'l.db'}&attempts=2"
        with pytest.raises(UnavailableError, match="base_url lacks /v1"):
            judge(data, spec, tmp_path / "out")
        assert len(server.bodies) <= 2 * (24 + 12)  # two shards at once, one of 4 edits


def test_a_run_in_which_nothing_was_scored_exits_with_an_error(data, tmp_path) -> None:
    refused = reply("", "SAFETY")
    with raw_server(lambda _: refused) as server:
        spec = f"vlm:m?base_url={server.base_url}&ledger={tmp_path / 'l.db'}"
        words = ["judge", data, "--judge", spec, "--sample", 4, "--out", tmp_path / "out"]
        done = CliRunner().invoke(app, list(map(str, words)))
        assert len(server.bodies) == 12
    assert done.exit_code == 1
    assert "nothing was scored" in done.output
    assert "refused" in done.output
