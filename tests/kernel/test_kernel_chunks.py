"""Chunks: computed once, in any number of workers, and never torn by a worker that is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from editloop.errors import RecipeError, StepError
from editloop.kernel.chunks import Chunk, ChunkRunner, Computed, Done
from editloop.kernel.resources import NETWORK, Resources
from editloop.storage.commits import ShardKey
from editloop.storage.shards import ShardStore

COUNT = 6


def compute(log: str, number: int, names: tuple[str, ...]) -> Computed:
    """Return each number's multiples; write into the log that it was computed, and by whom."""
    with Path(log).open("a") as lines:
        lines.write(f"{number} {os.getpid()} {','.join(names)}\n")
    tables = {name: pa.table({"value": [number * len(name)]}) for name in names}
    return Computed(tables, report=number)


def fatal_once(log: str, number: int, names: tuple[str, ...]) -> Computed:
    """Kill the worker the first time that the number 2 is computed."""
    computed = compute(log, number, names)
    if number == 2 and numbers(Path(log)).count(2) == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return computed


def fatal(log: str, number: int, names: tuple[str, ...]) -> Computed:
    """Kill the worker whenever the number 2 is computed."""
    computed = compute(log, number, names)
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return computed


def wrong(log: str, number: int, names: tuple[str, ...]) -> Computed:
    if number == 2:
        raise StepError("a wrong number", value="2", fix="leave it out")
    return compute(log, number, names)


def doubled(values: Sequence[int]) -> tuple[int, list[int]]:
    """Return the process, and twice each value."""
    return os.getpid(), [2 * value for value in values]


def slow(log: str, number: int, names: tuple[str, ...]) -> Computed:
    time.sleep(0.2)
    return compute(log, number, names)


def chunks(log: Path, function: Any = compute, names: tuple[str, ...] = ("a",)) -> Iterator[Chunk]:
    for number in range(COUNT):
        keys = {name: ShardKey(f"{name}-{number}", "made-from") for name in names}
        yield Chunk(number, keys, function, str(log), number)


def run(
    folder: Path, workers: int, *arguments: Any, engine: str = "processes", **resources: Any
) -> list[Done]:
    with ChunkRunner(workers, engine) as runner:
        made = chunks(folder / "log", *arguments)
        return list(runner.run(ShardStore(folder / "store"), made, Resources(**resources)))


def numbers(log: Path) -> list[int]:
    return [int(line.split()[0]) for line in log.read_text().splitlines()]


def stored(folder: Path) -> dict[str, str]:
    """Return the hash of each committed table."""
    commits = ShardStore(folder / "store").commits()
    return {commit.shard: commit.files["data"].sha256 for commit in commits}


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    return tmp_path / "one", tmp_path / "two"


def test_any_number_of_workers_commits_the_same_bytes_in_order(folders: tuple[Path, Path]) -> None:
    one, two = folders
    done = run(one, 1), run(two, 2)
    assert [each.about for each in done[0]] == [each.about for each in done[1]] == [*range(COUNT)]
    assert [each.report for each in done[1]] == [*range(COUNT)]
    assert stored(one) == stored(two)
    assert len(stored(one)) == COUNT
    own = {line.split()[1] for line in (one / "log").read_text().splitlines()}
    assert own == {str(os.getpid())}
    assert str(os.getpid()) not in (two / "log").read_text()
    assert not (two / "store" / "inputs").exists()


@pytest.mark.parametrize("engine", ["threads", "in-process"])
def test_any_engine_commits_the_same_bytes(folders: tuple[Path, Path], engine: str) -> None:
    one, two = folders
    run(one, 1)
    run(two, 2, engine=engine)
    assert stored(one) == stored(two)


def test_an_unknown_engine_is_refused_before_anything_runs() -> None:
    with pytest.raises(RecipeError, match="unknown engine kind: thread"):
        ChunkRunner(2, "thread")


@pytest.mark.parametrize("workers", [1, 2])
def test_a_function_is_mapped_in_order_and_commits_nothing(tmp_path: Path, workers: int) -> None:
    with ChunkRunner(workers) as runner:
        found = [*runner.map(ShardStore(tmp_path / "store"), doubled, [[1, 2], [3], [4, 5]])]
    assert [values for _, values in found] == [[2, 4], [6], [8, 10]]
    assert all((process == os.getpid()) == (workers == 1) for process, _ in found)
    assert stored(tmp_path) == {}


def test_what_is_committed_is_not_computed_again(tmp_path: Path) -> None:
    run(tmp_path, 2)
    assert all(each.report is None for each in run(tmp_path, 2))
    run(tmp_path, 1, compute, ("a", "bb"))
    lines = (tmp_path / "log").read_text().splitlines()
    assert [line.split()[2] for line in lines] == ["a"] * COUNT + ["bb"] * COUNT


@pytest.mark.slow
def test_a_killed_worker_costs_its_chunk(tmp_path: Path) -> None:
    done = run(tmp_path, 2, fatal_once)
    assert [each.about for each in done] == [*range(COUNT)]
    assert sorted(numbers(tmp_path / "log")) == [0, 1, 2, 2, 3, 4, 5]


@pytest.mark.slow
@pytest.mark.parametrize(("function", "cause"), [(fatal, "killed twice"), (wrong, "wrong")])
def test_a_chunk_that_fails_ends_the_run_and_keeps_the_others(
    tmp_path: Path, function: Any, cause: str
) -> None:
    with pytest.raises(StepError, match=cause):
        run(tmp_path, 2, function)
    assert {"a-0", "a-1"} <= stored(tmp_path).keys()
    before = numbers(tmp_path / "log")
    run(tmp_path, 2)
    assert len(numbers(tmp_path / "log")) == len(before) + COUNT - len(set(before) - {2})


def test_work_on_the_network_stays_in_this_process(tmp_path: Path) -> None:
    with ChunkRunner(4) as runner:
        list(runner.run(ShardStore(tmp_path / "store"), chunks(tmp_path / "log"), NETWORK))
    pids = {line.split()[1] for line in (tmp_path / "log").read_text().splitlines()}
    assert pids == {str(os.getpid())}


_KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import test_kernel_chunks as own
own.run(Path(sys.argv[1]), 2, own.slow)
"""


@pytest.mark.slow
def test_a_killed_run_goes_on_without_computing_twice(tmp_path: Path) -> None:
    script = _KILLED.format(tests=str(Path(__file__).parent))
    process = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)])
    while len(list(tmp_path.glob("store/commits/*.json"))) < 2:
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    process.wait()
    kept = stored(tmp_path)
    done = run(tmp_path, 2)
    assert {f"a-{each.about}" for each in done if each.report is None} >= kept.keys()
    assert len(stored(tmp_path)) == COUNT
    assert not (tmp_path / "store" / "inputs").exists()
