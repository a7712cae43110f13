"""Cleaning a run: what nothing needs is removed, and everything else works as before."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from editloop.cli import app
from editloop.errors import StoreError
from editloop.judges.judge_data import judge
from editloop.loop import run as loop
from editloop.sources.import_data import import_data
from editloop.storage.verify import verify
from layout_folders import parquet, png


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def run(tmp_path: Path) -> Path:
    rows = [
        {"source": png(shade=at), "target": png(shade=at + 1), "instruction": f"darken {at}"}
        for at in range(6)
    ]
    parquet(tmp_path / "set" / "a.parquet", rows)
    import_data("table", tmp_path / "set", tmp_path / "run", workers=1)
    return tmp_path / "run"


@pytest.mark.slow
def test_clean_says_how_much_and_everything_works_as_before(run: Path, tmp_path: Path) -> None:
    before, shown = size(run), CliRunner().invoke(app, ["show", str(run)]).output
    data = {path.name: path.read_bytes() for path in (run / "data").iterdir()}
    ended = CliRunner().invoke(app, ["clean", str(run)])
    assert ended.exit_code == 0, ended.output
    assert "MB removed" in ended.output
    assert size(run) < before
    assert not list(run.glob(".editloop/build/*/files/*"))
    assert loop.clean(run) == 0
    assert verify(run) == []
    assert CliRunner().invoke(app, ["show", str(run)]).output == shown
    import_data("table", tmp_path / "set", run, workers=1)  # resumes: there is nothing to do
    assert {path.name: path.read_bytes() for path in (run / "data").iterdir()} == data
    judged = judge(run, "metric", tmp_path / "judged", workers=1)
    assert judged["build"]["out"] == 6


def test_after_clean_changed_data_is_built_from_the_sources(run: Path, tmp_path: Path) -> None:
    loop.clean(run)
    rows = [{"source": png(), "target": png(shade=4), "instruction": "darken it"}]
    parquet(tmp_path / "set" / "a.parquet", rows)
    results = import_data("table", tmp_path / "set", run, workers=1, new_version=True)
    assert results["build"]["out"] == 1
    assert verify(run) == []


def test_a_damaged_record_is_still_found_and_an_unfinished_run_is_not_cleaned(run: Path) -> None:
    loop.clean(run)
    (record,) = run.glob(".editloop/build/*/commits/*.json")
    text = record.read_bytes()
    record.write_bytes(text[:-20])
    assert [problem.path for problem in verify(run)] == [record]
    record.unlink()
    with pytest.raises(StoreError, match="not complete"):
        loop.clean(run)
