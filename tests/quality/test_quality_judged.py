"""HQ-Edit's table of data sets: a judge's Alignment and Coherence, of a random sample."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from test_quality_dataset import L1, write_data
from typer.testing import CliRunner

from editloop.chat.fake.request import FakeRequest
from editloop.chat.fake.server import FakeServer
from editloop.cli import app
from editloop.errors import RecipeError, StepError
from editloop.quality.dataset import measure_data
from evaluation_fakes import sessions, single_edits
from judging_parts import Plain
from raw_server import raw_server, reply

PLAIN = "python:judging_parts:Plain"


def answer(asked: FakeRequest) -> str:
    """80 for Alignment, which sees two pictures, and 60 for Coherence, which sees the output."""
    return json.dumps({"explanation": "so it is", "score": 80 if len(asked.images) == 2 else 60})


def test_alignment_and_coherence_stand_beside_the_metrics_and_are_paid_once(tmp_path: Path) -> None:
    data, out = write_data(tmp_path / "data", single_edits(5)), tmp_path / "out"
    came: list[FakeRequest] = []

    def noted(asked: FakeRequest) -> str:
        came.append(asked)
        return answer(asked)

    with FakeServer(noted) as server:
        words = ["measure", str(data), "--metrics", L1, "--out", str(out), "--judge"]
        words += [f"vlm:fake?base_url={server.base_url}"]
        for _ in range(2):
            told = CliRunner().invoke(app, words)
            assert told.exit_code == 0, told.output
    assert len(came) == 2 * 5
    assert "alignment" in told.output
    assert {asked.temperature for asked in came} == {0.1}
    found = json.loads((out / "quality.json").read_text())["quality"]
    assert set(found) == {"l1", "alignment", "coherence"}
    assert [found[name]["mean"] for name in ("alignment", "coherence")] == [80, 60]
    assert found["alignment"]["coverage"] == 1


def test_a_sample_is_of_that_size_and_only_it_is_judged(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data", sessions(4))
    Plain.asked.clear()
    found = measure_data(data, metrics=[L1], judge=PLAIN, sample=5, out=tmp_path / "out")
    judged = [pair.id for batch in Plain.asked for pair in batch]
    rows = pq.read_table(tmp_path / "out" / "quality.parquet").to_pylist()
    assert found["samples"] == len(judged) == 5
    assert [row["id"] for row in rows] == judged
    assert {row["turn"] for row in rows if row["session"] == rows[0]["session"]} >= {1}
    again = measure_data(data, metrics=[L1], judge=PLAIN, sample=5, seed=1, out=tmp_path / "other")
    assert again["fingerprint"] != found["fingerprint"]
    assert found["quality"]["preserving"]["mean"] is None  # no verdict: unscored, never zero


def test_what_the_server_did_not_answer_for_now_stops_and_is_not_kept(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data", single_edits(3))
    mood = tmp_path / "mood"
    mood.write_text("busy photos/heldout/0001/0")
    judge = f"python:judging_parts:Moody?target={tmp_path}"
    with pytest.raises(StepError, match="some verdicts are still missing"):
        measure_data(data, metrics=[L1], judge=judge, out=tmp_path / "out")
    mood.write_text("calm")
    found = measure_data(data, metrics=[L1], judge=judge, out=tmp_path / "out")
    assert found["quality"]["quality"]["coverage"] == 1


def test_a_judge_that_compares_two_edits_is_refused(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data", single_edits(1))
    with pytest.raises(RecipeError, match="compares two edits"):
        measure_data(data, judge="preference:fake?base_url=http://127.0.0.1:9/v1", out=tmp_path)


def test_a_measure_whose_judge_scored_nothing_exits_with_the_reason(tmp_path: Path) -> None:
    data, out = write_data(tmp_path / "data", single_edits(2)), tmp_path / "out"
    with raw_server(lambda _: reply("", "SAFETY")) as server:
        words = ["measure", str(data), "--metrics", L1, "--out", str(out)]
        told = CliRunner().invoke(app, [*words, "--judge", f"vlm:fake?base_url={server.base_url}"])
    assert told.exit_code == 1, told.output
    assert "error: the judge: nothing was scored: refused" in told.output
    assert CliRunner().invoke(app, words).exit_code == 0


def test_a_measure_without_any_number_exits_with_the_reason(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data", single_edits(1))
    words = ["measure", data, "--metrics", "clip:image?model=no/model", "--out", tmp_path / "out"]
    told = CliRunner().invoke(app, list(map(str, words)))
    assert told.exit_code == 1, told.output
    assert "error: data: nothing was scored: " in told.output
    assert "hf download no/model" in told.output
