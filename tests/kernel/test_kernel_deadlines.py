"""Deadlines: a slow step is not hung, and a hung one is found within a bound."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from editloop.kernel.build import BuildReport, Options, build
from kernel_parts import logged, source, step


def make(out: Path, *, items: int, limit: float, engine: str, **settings: object) -> BuildReport:
    log = str(out.parent / "log")
    steps = [step("LoggedStep", log=log, **settings), step("TroubleStep", on={"none": "hang"})]
    options = Options(workers=1, deadline=limit, engine=engine)
    return build([source(count={"train": items})], steps, out=out, options=options)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["processes", "threads"])
def test_a_slow_step_is_not_hung(tmp_path: Path, engine: str) -> None:
    """Eight inputs of 0.3 s take longer together than the deadline of one."""
    report = make(tmp_path / "out", items=8, limit=1.5, engine=engine, seconds=0.3)
    assert (report.counts["out"], report.counts["quarantined"]) == (8, 0)
    lines = [line.partition(" | ")[0] for line in logged(tmp_path / "log")]
    samples = [f"step train/{index:04d}" for index in range(8)]
    assert lines == ["step setup", *samples, "step close"]  # nothing ran twice


@pytest.mark.slow
def test_the_deadline_of_a_step_goes_before_that_of_the_build(tmp_path: Path) -> None:
    own = {"seconds": 1.0, "deadline": 60.0}
    report = make(tmp_path / "out", items=1, limit=0.5, engine="threads", **own)
    assert report.counts["quarantined"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["processes", "threads"])
def test_a_hung_input_is_found_by_its_step_s_own_deadline(tmp_path: Path, engine: str) -> None:
    hang = step("PatientStep", on={"0002": "hang"}, deadline=3.0)
    options = Options(workers=1, engine=engine)
    sources = [source(count={"train": 4})]
    report = build(sources, [hang], out=tmp_path, options=options)
    assert report.counts["out"] == 3
    (row,) = pq.read_table(tmp_path / "rejects" / "quarantined.parquet").to_pylist()
    assert (row["id"], row["code"]) == ("train/0002", "worker-hung")
