"""Workers that are killed, hang or run out of memory: only the input at fault fails."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from editloop.errors import StepError, StoreError
from editloop.kernel.build import BuildReport, Options, build
from editloop.kernel.engines.base import EngineSettings, Loss, Task
from editloop.kernel.engines.in_process import InProcessEngine
from editloop.kernel.engines.processes import LocalProcessEngine
from editloop.kernel.progress import Progress
from editloop.storage.samples import read_samples
from editloop.storage.verify import verify
from kernel_faults import CommittingFiles, ForgettingFiles, published
from kernel_parts import logged, source, step

ITEMS = [source(count={"train": 10})]


def make(out: Path, on: dict[str, str], workers: int = 2, deadline: float = 600) -> BuildReport:
    trouble = step("TroubleStep", on=on, folder=str(out.parent))
    options = Options(workers=workers, deadline=deadline)
    return build(ITEMS, [trouble, step(drops=0, fails=0)], out=out, shard_size=4, options=options)


def engine_of(workers: int) -> LocalProcessEngine:
    return LocalProcessEngine(EngineSettings(workers=workers))


def quarantine(out: Path) -> list[tuple[str, str, str]]:
    table = pq.read_table(out / "rejects" / "quarantined.parquet")
    return [(row["id"], row["code"], row["class"]) for row in table.to_pylist()]


def fine(out: Path) -> Path:
    """The same build without faults."""
    make(out, {"none": "kill"}, workers=0)
    return out


def kept(out: Path) -> list[tuple[str, str]]:
    return [(sample.id, sample.instruction) for sample in read_samples(out / "data", "train")]


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, str]]:
    return kept(fine(tmp_path_factory.mktemp("fine") / "out"))


@pytest.mark.slow
def test_a_record_that_kills_its_worker_costs_itself(
    tmp_path: Path, expected: list[tuple[str, str]]
) -> None:
    make(tmp_path / "out", {"0005": "kill"})
    assert quarantine(tmp_path / "out") == [("train/0005", "worker-killed", "bug")]
    neighbours = [row for row in expected if not row[0].startswith("train/0005")]
    assert kept(tmp_path / "out") == neighbours
    assert verify(tmp_path / "out") == []


def test_a_worker_that_is_killed_by_accident_costs_nothing(
    tmp_path: Path, expected: list[tuple[str, str]]
) -> None:
    make(tmp_path / "out", {"0005": "kill once"})
    assert quarantine(tmp_path / "out") == []
    assert kept(tmp_path / "out") == expected


def test_a_worker_that_dies_after_its_commit_costs_nothing(tmp_path: Path) -> None:
    log = tmp_path / "log"
    files = CommittingFiles(tmp_path / "mark")
    steps = [step("LoggedStep", log=str(log))]
    report = build(ITEMS, steps, out=tmp_path / "out", shard_size=4, options=Options(files=files))
    assert files.mark.exists()
    assert (report.counts["out"], report.timings["shards"]) == (10, 3)
    inputs = [line for line in logged(log) if "train/" in line]
    assert len(inputs) == len({line.split(" | ")[0] for line in inputs}) == 10


def test_a_shard_without_its_record_is_not_taken_as_done(tmp_path: Path) -> None:
    options = Options(files=ForgettingFiles())
    with pytest.raises(StoreError, match="its record is not here"):
        build(ITEMS, [step()], out=tmp_path, options=options)
    assert published(tmp_path) == {}


@pytest.mark.slow
def test_a_record_that_hangs_costs_itself(tmp_path: Path, expected: list[tuple[str, str]]) -> None:
    make(tmp_path / "out", {"0008": "hang"}, deadline=2)
    assert quarantine(tmp_path / "out") == [("train/0008", "worker-hung", "transient")]
    neighbours = [row for row in expected if not row[0].startswith("train/0008")]
    assert kept(tmp_path / "out") == neighbours


@pytest.mark.slow
def test_records_that_kill_only_together_are_all_kept(
    tmp_path: Path, expected: list[tuple[str, str]]
) -> None:
    together = step("CrowdStep", most=2)
    options = Options(workers=1)
    steps = [together, step(drops=0, fails=0)]
    build(ITEMS, steps, out=tmp_path, shard_size=4, options=options)
    assert kept(tmp_path) == expected


def test_a_step_that_kills_every_worker_fails_the_build(tmp_path: Path) -> None:
    trouble = step("TroubleStep", on={"": "kill"})
    with pytest.raises(StepError, match="workers die on more than 8 inputs"):
        build(ITEMS, [trouble], out=tmp_path, shard_size=10, options=Options(workers=2))
    assert published(tmp_path) == {}


def test_an_engine_names_the_task_whose_worker_died() -> None:
    with engine_of(2) as engine:
        engine.submit(Task(abs, -3))
        engine.submit(Task(os._exit, 9))
        ended = engine.wait()
        ended += engine.wait() if len(ended) == 1 else []
    by_loss = {each.loss: each for each in ended}
    assert by_loss[None].value == 3
    assert by_loss[Loss.KILLED].task.function is os._exit


def test_an_engine_goes_on_after_a_loss() -> None:
    with engine_of(1) as engine:
        engine.submit(Task(os._exit, 9))
        assert engine.wait()[0].loss is Loss.KILLED
        engine.submit(Task(abs, -3))
        assert engine.wait()[0].value == 3


def test_an_engine_goes_on_after_an_idle_worker_died() -> None:
    with engine_of(1) as engine:
        engine.submit(Task(_pid, None))
        (first,) = engine.wait()
        (worker,) = (
            child for child in multiprocessing.active_children() if child.pid == first.value
        )
        worker.kill()
        worker.join()
        engine.submit(Task(_pid, None))
        ended = engine.wait()[0]
        assert ended.loss is Loss.KILLED or ended.value != first.value


def _pid(_: None) -> int:
    return os.getpid()


def test_an_engine_hands_an_error_back() -> None:
    for engine in (InProcessEngine(), engine_of(1)):
        with engine:
            engine.submit(Task(int, "x"))
            assert isinstance(engine.wait()[0].error, ValueError)


def test_nothing_to_wait_for_ends_at_once() -> None:
    for engine in (InProcessEngine(), engine_of(1)):
        with engine:
            assert engine.wait() == []


def test_leaving_an_engine_ends_a_worker_that_hangs() -> None:
    before = set(multiprocessing.active_children())
    with engine_of(1) as engine:
        engine.submit(Task(signal.sigwait, [signal.SIGUSR1]))
        (worker,) = set(multiprocessing.active_children()) - before
    assert not worker.is_alive()


def test_workers_compute_in_one_thread() -> None:
    with engine_of(1) as engine:
        engine.submit(Task(_threads, None))
        assert engine.wait()[0].value == (1, {1})


def _threads(_: None) -> tuple[int, set[int]]:
    import cv2
    import threadpoolctl

    return cv2.getNumThreads(), {pool["num_threads"] for pool in threadpoolctl.threadpool_info()}


_UNGUARDED = """
import sys
from pathlib import Path
from kernel_parts import source, step
from editloop.kernel.build import Options, build
report = build([source()], [step()], out=Path(sys.argv[1]), options=Options(workers=1))
print(report.counts["in"])
"""


@pytest.mark.slow
def test_a_script_needs_no_guard(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(_UNGUARDED)
    command = [sys.executable, script, tmp_path / "out"]
    path = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=path, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("8\n", "")


@pytest.mark.usefixtures("heeds_ctrl_c")
def test_ctrl_c_keeps_what_is_committed(tmp_path: Path) -> None:
    seen: list[Progress] = []

    def interrupt(progress: Progress) -> None:
        seen.append(progress)
        if progress.done == 1:
            signal.raise_signal(signal.SIGINT)

    steps = [step(drops=0, fails=0)]
    with pytest.raises(KeyboardInterrupt):
        build(
            ITEMS, steps, out=tmp_path, shard_size=4, options=Options(workers=2, progress=interrupt)
        )
    assert multiprocessing.active_children() == []
    assert published(tmp_path) == {}
    rest = build(ITEMS, steps, out=tmp_path, shard_size=4, options=Options(workers=0))
    assert rest.timings["shards"] < 3
    assert rest.counts["in"] == 10
